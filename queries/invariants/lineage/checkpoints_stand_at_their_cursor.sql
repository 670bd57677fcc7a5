-- name: checkpoints_stand_at_their_cursor
-- law: A checkpoint at step k resumes at position k x global batch.
-- family: lineage
-- level: accounted
-- over: checkpoint_written
select c.checkpoint_id as subject, c.seq as event_seq, c.stream,
  'position ' || coalesce(cast(c.step * p.global_batch_sequences as varchar), 'null') as expected,
  'position ' || c.cursor_position as actual
from checkpoint_written as c
left join sampling_plan as p on true
where c.cursor_position is distinct from c.step * p.global_batch_sequences
order by c.stream, c.seq
