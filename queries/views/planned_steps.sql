-- name: planned_steps
-- about: Where each promised step begins and how many sequences it has, from the plan and from what was skipped. Both
--   are null where the plan does not say.
-- materialise: true
select step, try_cast(first_position + case
    when pass_sequences is null or steps < steps_left then steps * batch_sequences
    else pass_left + (steps - steps_left) // steps_a_pass * pass_sequences
      + (steps - steps_left) % steps_a_pass * batch_sequences end as bigint) as first_position,
  try_cast(case
    when pass_sequences is null then batch_sequences
    when steps < steps_left then least(batch_sequences, pass_left - steps * batch_sequences)
    else least(batch_sequences, pass_sequences - (steps - steps_left) % steps_a_pass * batch_sequences) end as bigint)
    as sequences
from (
  select s.step, g.first_position, g.batch_sequences, g.pass_sequences, g.pass_left,
    (s.step - g.first_step)::hugeint as steps,
    (g.pass_left + g.batch_sequences - 1) // nullif(g.batch_sequences, 0) as steps_left,
    (g.pass_sequences + g.batch_sequences - 1) // nullif(g.batch_sequences, 0) as steps_a_pass
  from promised_steps as s
  asof left join plan_segments as g on s.step >= g.first_step
)
