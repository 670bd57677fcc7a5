-- name: promotion_names_a_written_checkpoint
-- law: The promoted checkpoint was written before, counts, has the promoted weights, and is the one that its criterion
--   chooses.
-- family: lineage
-- level: accounted
-- over: promised_promotions
-- applies: promotions_at_stake
select coalesce(p.checkpoint_id, 'promotion') as subject, p.seq as event_seq, p.stream,
  case p.criterion
    when 'last' then 'step ' || coalesce(cast(r.last_step as varchar), 'null')
    when 'lowest_loss' then 'the lowest loss of ' || coalesce(p.criterion_split, 'null') || coalesce(
      ' (step ' || b.step || ', ' || b.loss_nats || ')', '')
    else 'a checkpoint that counts' end || ', weights ' || coalesce(lower(hex(c.object_sha256)), 'never written') as expected,
  coalesce(coalesce('step ' || c.step, 'no step')
    || case when c.effective or c.checkpoint_id is null then '' else ' (superseded)' end
    || ', weights ' || lower(hex(p.object_sha256)), 'no promotion') as actual
from progress as r
left join checkpoint_promoted as p on true
left join checkpoints as c on c.checkpoint_id = p.checkpoint_id
  and (c.attempt < p.attempt or (c.stream = p.stream and c.seq < p.seq))
left join measured_checkpoints as b on b.split_name = p.criterion_split and b.is_lowest
where case when p.checkpoint_id is null then r.finished and exists (select * from declared_stages)
  else c.checkpoint_id is null or c.effective is distinct from true
    or c.object_sha256 is distinct from p.object_sha256
    or (p.criterion = 'last' and c.step is distinct from r.last_step)
    or (p.criterion = 'lowest_loss' and not exists (
      select 1 from measured_checkpoints as m
      where m.split_name = p.criterion_split and m.is_lowest and m.checkpoint_id = p.checkpoint_id)) end
