-- name: promotion_names_a_written_checkpoint
-- law: What is promoted was written, counts, stands at the horizon, and was read back with the digest it was written with.
-- family: lineage
-- level: accounted
-- over: checkpoint_promoted
select p.checkpoint_id as subject, p.seq as event_seq, p.stream,
  'step ' || coalesce(cast(r.horizon_steps as varchar), 'null') || ', weights '
    || coalesce(lower(hex(c.weights_sha256)), 'never written') as expected,
  coalesce('step ' || c.step, 'no step') || case when c.effective or c.checkpoint_id is null then '' else ' (superseded)' end
    || ', weights ' || lower(hex(p.weights_sha256)) as actual
from checkpoint_promoted as p
left join checkpoints as c on c.checkpoint_id = p.checkpoint_id and c.durable_at_ns <= p.recorded_at_ns
cross join progress as r
where c.checkpoint_id is null or c.effective is distinct from true
  or c.weights_sha256 is distinct from p.weights_sha256 or c.step is distinct from r.horizon_steps
order by p.stream, p.seq
