-- name: plan_keeps_the_replay_seed
-- law: The corpus's replay contract has the seed of the order.
-- family: binding
-- level: accounted
-- over: sampling_plan
-- applies: declared_orders
select 'order/seed' as subject, p.seq as event_seq, p.stream,
  coalesce(cast(c.deterministic_shuffle_seed as varchar), 'null') as expected,
  coalesce(cast(o.order_seed as varchar), 'null') as actual
from sampling_plan as p
join declared_orders as o on true
left join tokenized_corpus as c on true
cross join progress as r
where r.attempts > 0
  and (c.deterministic_shuffle_seed is null or o.order_seed is distinct from c.deterministic_shuffle_seed)
