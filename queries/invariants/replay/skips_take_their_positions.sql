-- name: skips_take_their_positions
-- law: What is skipped before a step stands right before its positions, each position once.
-- family: replay
-- level: accounted
-- over: promised_steps
-- applies: batch_schedule
select 'skipped before step ' || s.step as subject, s.seq as event_seq, s.stream,
  coalesce('positions ' || (p.first_position - s.sequences) || ' to ' || (p.first_position - 1) || ', each once', 'null')
    as expected,
  coalesce('positions ' || d.first_position || ' to ' || d.last_position || ', ' || d.positions || ' different of '
    || d.sequences, 'none') as actual
from skips_before as s
left join planned_steps as p on p.step = s.step
left join (
  select step, min(position) as first_position, max(position) as last_position, count(distinct position) as positions,
    count(*) as sequences
  from drawn_sequences where skipped group by step
) as d on d.step = s.step
cross join progress as r
where (r.finished or s.step <= r.due_step) and (d.first_position is distinct from p.first_position - s.sequences
  or d.last_position is distinct from p.first_position - 1 or d.positions is distinct from s.sequences
  or d.sequences is distinct from s.sequences)
