-- name: checkpoints_become_durable_in_order
-- law: A checkpoint is durable after it was started, and recorded only then.
-- family: lineage
-- level: accounted
-- over: checkpoint_written
select checkpoint_id as subject, seq as event_seq, stream,
  'started <= durable <= recorded' as expected,
  started_at_ns || ', ' || durable_at_ns || ', ' || recorded_at_ns as actual
from checkpoint_written
where not coalesce(started_at_ns <= durable_at_ns and durable_at_ns <= recorded_at_ns, false)
order by stream, seq
