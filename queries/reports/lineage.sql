-- name: lineage
-- about: Every checkpoint with its parent: the tree from the root to what was promoted.
select c.checkpoint_id, c.parent_checkpoint_id, c.step, c.attempt, c.effective,
  lower(hex(c.object_sha256)) as object_sha256,
  p.label, (select max(r.reason) from checkpoint_removed as r where r.checkpoint_id = c.checkpoint_id) as removed,
  (select max(e.earlier_checkpoint_id) from equal_checkpoints as e where e.checkpoint_id = c.checkpoint_id) as same_weights_as
from checkpoints as c
left join promoted_checkpoint as p on p.checkpoint_id = c.checkpoint_id
order by c.attempt, c.step
