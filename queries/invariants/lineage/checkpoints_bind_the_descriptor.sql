-- name: checkpoints_bind_the_descriptor
-- law: Every checkpoint has the declared model descriptor's digest and tensor layout.
-- family: lineage
-- level: accounted
-- over: promised_checkpoints
-- applies: layouts_at_stake
select n.checkpoint_id as subject, c.seq as event_seq, c.stream,
  'layout ' || coalesce(d.tensor_layout_digest, 'null') as expected,
  coalesce('layout ' || lower(hex(c.tensor_layout_digest)), 'never written') as actual
from promised_checkpoints as n
left join checkpoint_written as c on c.checkpoint_id = n.checkpoint_id
left join derived_digests as d on true
where c.checkpoint_id is null or lower(hex(c.tensor_layout_digest)) is distinct from d.tensor_layout_digest
