-- name: nothing_follows_completion
-- law: After a stage is completed, its training adds nothing but its advance and its finish.
-- family: stage
-- level: accounted
-- over: completed_stages
select e.kind as subject, e.seq as event_seq, e.stream,
  'nothing after seq ' || s.completed_seq || ' of ' || s.completed_stream as expected,
  e.kind || ' at seq ' || e.seq || ' of ' || e.stream as actual
from completed_stages as s
join train_events as e on e.attempt > s.completed_attempt
  or (e.stream = s.completed_stream and e.seq > s.completed_seq)
order by e.stream, e.seq
