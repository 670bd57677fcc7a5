-- name: replay_was_exact
-- law: Before a stage was completed, a whole verification pass had equalled training, and none has ever differed.
-- family: replay
-- level: accounted
-- over: completed_stages
-- applies: declared_stages
select s.stage_id as subject, s.completed_seq as event_seq, s.completed_stream as stream,
  'at least 1 exact pass before, none that differs' as expected,
  count(*) filter (v.exact and v.sealed_in < coalesce(c.entry, 9223372036854775807)) || ' exact, '
    || count(*) filter (v.differs) || ' that differ' as actual
from completed_stages as s
left join stream_ranges as c on c.stream = s.completed_stream
  and c.first_seq <= s.completed_seq and c.last_seq >= s.completed_seq
left join (
  select p.verification_id, p.exact, p.differs, max(coalesce(e.entry, 9223372036854775807)) as sealed_in
  from verification_passes as p
  join stream_ranges as e on e.stream = p.stream
  group by p.verification_id, p.exact, p.differs
) as v on true
group by s.stage_id, s.completed_seq, s.completed_stream
having count(*) filter (v.exact and v.sealed_in < coalesce(c.entry, 9223372036854775807)) = 0
  or count(*) filter (v.differs) > 0
