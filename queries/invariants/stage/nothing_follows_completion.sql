-- name: nothing_follows_completion
-- law: Nothing is trained, declared or received after the stage is completed, and nothing trains in a completion stream.
-- family: stage
-- level: accounted
-- over: completed_stages
-- applies: declared_stages
select e.kind as subject, e.seq as event_seq, e.stream,
  'nothing after seq ' || s.completed_seq || ' of ' || s.completed_stream as expected,
  e.kind || ' at seq ' || e.seq || ' of ' || e.stream as actual
from completed_stages as s
join train_events as e on e.attempt > s.completed_attempt or e.role = 'complete'
union all
select 'receipt_recorded', r.seq, r.stream, 'nothing after seq ' || s.completed_seq || ' of ' || s.completed_stream,
  'receipt_recorded at seq ' || r.seq || ' of ' || r.stream
from completed_stages as s
join completion_streams as c on c.stream = s.completed_stream
join receipt_recorded as r on true
join completion_streams as o on o.stream = r.stream
where o.number > c.number or (r.stream = s.completed_stream and r.seq > s.completed_seq)
