-- name: checkpoints_share_the_family
-- law: Every checkpoint belongs to the stage's checkpoint family.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: declared_stages
select n.checkpoint_id as subject, c.seq as event_seq, c.stream, coalesce(s.checkpoint_family, 'no stage') as expected,
  coalesce(c.checkpoint_family, 'never written') as actual
from promised_checkpoints as n
left join checkpoint_written as c on c.checkpoint_id = n.checkpoint_id
left join (select min(checkpoint_family) as checkpoint_family from stages) as s on true
where c.checkpoint_id is null or c.checkpoint_family is distinct from s.checkpoint_family
