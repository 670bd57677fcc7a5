-- name: replay_was_exact
-- law: Before a stage was completed, a whole verification pass had equalled training, and none had differed.
-- family: replay
-- level: accounted
-- over: completed_stages
select s.stage_id as subject, s.completed_seq as event_seq, s.completed_stream as stream,
  'at least 1 exact pass, none that differs' as expected,
  v.exact || ' exact, ' || v.differing || ' that differ' as actual
from completed_stages as s
cross join (
  select count(*) filter (exact) as exact, count(*) filter (differs) as differing from verification_passes
) as v
where v.exact = 0 or v.differing > 0
order by s.stage_id
