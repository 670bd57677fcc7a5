-- name: planned_skips_are_taken
-- law: What the plan leaves out is left out, before the step that it names.
-- family: replay
-- level: accounted
-- over: planned_skips
-- applies: planned_skips
select 'skip before step ' || coalesce(p.before_step, -1) as subject, s.seq as event_seq, s.stream,
  coalesce(p.sequences || ' sequences skipped', 'null') as expected, coalesce(s.sequences, 0) || ' skipped' as actual
from planned_skips as p
left join skips_before as s on s.step = p.before_step
cross join progress as r
where (p.before_step is null or p.before_step <= r.due_step or (r.finished and p.before_step <= r.last_step))
  and s.sequences is distinct from p.sequences
