-- name: checkpoints_stand_at_their_cursor
-- law: A checkpoint at step k resumes at position k x global batch.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
select n.checkpoint_id as subject, c.seq as event_seq, c.stream,
  'position ' || coalesce(cast(c.step::hugeint * p.global_batch_sequences as varchar), 'null') as expected,
  coalesce('position ' || c.cursor_position, 'never written') as actual
from promised_checkpoints as n
left join checkpoint_written as c on c.checkpoint_id = n.checkpoint_id
left join sampling_plan as p on true
where c.checkpoint_id is null or c.cursor_position is distinct from c.step::hugeint * p.global_batch_sequences
order by c.stream, c.seq, n.checkpoint_id
