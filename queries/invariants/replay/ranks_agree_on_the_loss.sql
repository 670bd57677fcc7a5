-- name: ranks_agree_on_the_loss
-- law: All ranks of a step report the same global loss, to the bit.
-- family: replay
-- level: accounted
-- over: promised_steps
-- applies: many_ranks
select 'step ' || p.step as subject, s.seq as event_seq, s.stream, 'one loss of ' || coalesce(a.world_size || ' ranks', 'an attempt') as expected,
  coalesce(s.losses || ' losses, ' || s.loss_min || ' to ' || s.loss_max || ', of ' || s.ranks || ' ranks', 'none') as actual
from promised_steps as p
left join (
  select step, count(distinct loss_nats) + max(case when loss_nats is null then 1 else 0 end) as losses, min(loss_nats) as loss_min, max(loss_nats) as loss_max,
    count(distinct rank) as ranks, min(attempt) as attempt, min(seq) filter (rank = 0) as seq, min(stream) as stream
  from train_steps group by step
) as s on s.step = p.step
left join attempts as a on a.attempt = s.attempt
where s.losses is distinct from 1 or s.ranks is distinct from a.world_size
