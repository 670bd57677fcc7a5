-- name: promotion_names_a_written_checkpoint
-- law: A finished run promotes a checkpoint; it was written before, counts, stands at the horizon, and was read back with the digest it was written with.
-- family: lineage
-- level: accounted
-- over: stage_config
select coalesce(p.checkpoint_id, 'promotion') as subject, p.seq as event_seq, p.stream,
  'step ' || coalesce(cast(r.horizon_steps as varchar), 'null') || ', weights '
    || coalesce(lower(hex(c.weights_sha256)), 'never written') as expected,
  coalesce(coalesce('step ' || c.step, 'no step')
    || case when c.effective or c.checkpoint_id is null then '' else ' (superseded)' end
    || ', weights ' || lower(hex(p.weights_sha256)), 'no promotion') as actual
from progress as r
left join checkpoint_promoted as p on true
left join checkpoints as c on c.checkpoint_id = p.checkpoint_id
  and (c.attempt < p.attempt or (c.stream = p.stream and c.seq < p.seq))
where case when p.checkpoint_id is null then r.finished
  else c.checkpoint_id is null or c.effective is distinct from true
    or c.weights_sha256 is distinct from p.weights_sha256 or c.step is distinct from r.horizon_steps end
order by p.stream, p.seq
