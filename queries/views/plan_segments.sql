-- name: plan_segments
-- about: The runs of steps between two borders: a border is a step from which on the global batch has another size, or
--   before which sequences were skipped. `pass_left` is what is left of the pass at `first_position`, null where a batch
--   does not end with its pass.
-- materialise: true
with recursive borders as (
  select step, row_number() over (order by step) as number, lead(step) over (order by step) as next_step, skipped,
    last_value(sequences ignore nulls) over (order by step rows between unbounded preceding and current row)
      as batch_sequences
  from (
    select step, sum(skipped) as skipped, max(sequences) as sequences
    from (
      select first_step as step, 0::hugeint as skipped, sequences from batch_schedule
      union all
      select step, sequences, null from skips_before where exists (select * from batch_schedule)
    )
    group by step
  )
),
passes as (
  select case when pass_end = 'short_batch' then nullif(pass_sequences, 0) end as pass_sequences from sampling_plan
),
walked as (
  select b.number, b.step as first_step, b.next_step, b.skipped as first_position, b.batch_sequences, p.pass_sequences
  from borders as b, passes as p
  where b.number = 1
  union all
  select b.number, b.step, b.next_step,
    b.skipped + s.first_position + case
      when s.pass_sequences is null then s.steps * s.batch_sequences
      when s.steps <= s.steps_left then least(s.steps * s.batch_sequences, s.pass_left)
      else s.pass_left + (s.steps - s.steps_left) // s.steps_a_pass * s.pass_sequences
        + least((s.steps - s.steps_left) % s.steps_a_pass * s.batch_sequences, s.pass_sequences)
      end,
    b.batch_sequences, s.pass_sequences
  from (
    select number, first_position, batch_sequences, pass_sequences, (next_step - first_step)::hugeint as steps,
      pass_sequences - first_position % pass_sequences as pass_left,
      (pass_sequences - first_position % pass_sequences + batch_sequences - 1) // nullif(batch_sequences, 0) as steps_left,
      (pass_sequences + batch_sequences - 1) // nullif(batch_sequences, 0) as steps_a_pass
    from walked
  ) as s
  join borders as b on b.number = s.number + 1
)
select first_step, first_position, batch_sequences, pass_sequences,
  pass_sequences - first_position % pass_sequences as pass_left
from walked
