-- name: promoted_checkpoint
-- about: The checkpoint that the run promotes, as it was written, its label, and why. One row at most.
select p.label, p.criterion, p.criterion_split, p.evaluation_id, p.object_sha256 as promoted_sha256,
  p.recorded_at_ns as promoted_at_ns, p.stream as promoted_stream, p.seq as promoted_seq, c.*
from checkpoint_promoted as p
join checkpoints as c on c.checkpoint_id = p.checkpoint_id
where p.role = 'train'
qualify row_number() over (order by p.attempt desc, p.rank, p.seq desc) = 1
