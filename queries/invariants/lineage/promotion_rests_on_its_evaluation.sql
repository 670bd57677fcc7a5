-- name: promotion_rests_on_its_evaluation
-- law: The evaluation that a promotion rests on measured the promoted checkpoint.
-- family: lineage
-- level: accounted
-- over: promised_promotions
-- applies: promotions_at_stake
select coalesce(p.checkpoint_id, 'promotion') as subject, p.seq as event_seq, p.stream,
  'an evaluation of ' || coalesce(p.checkpoint_id, 'a promoted checkpoint') as expected,
  coalesce(p.evaluation_id || coalesce(', at step ' || e.step || coalesce(' of ' || e.checkpoint_id, ''), ', never measured'),
    'no promotion') as actual
from progress as r
left join checkpoint_promoted as p on true
left join checkpoints as c on c.checkpoint_id = p.checkpoint_id
left join (
  select evaluation_id, min(attempt) as attempt, min(step) as step, min(checkpoint_id) as checkpoint_id
  from measurements group by evaluation_id
) as e on e.evaluation_id = p.evaluation_id
where case when p.seq is null then r.finished and exists (select * from declared_stages)
  else p.evaluation_id is not null and not coalesce(
    case when e.checkpoint_id is null then e.attempt = c.attempt and e.step = c.step
      else e.checkpoint_id = p.checkpoint_id end, false) end
