-- name: plan_keeps_the_replay_seed
-- law: The plan shuffles with the seed of the corpus's replay contract.
-- family: binding
-- level: accounted
-- over: sampling_plan
select 'sampler_seed' as subject, p.seq as event_seq, p.stream,
  coalesce(cast(c.deterministic_shuffle_seed as varchar), 'null') as expected,
  coalesce(cast(p.sampler_seed as varchar), 'null') as actual
from sampling_plan as p
left join tokenized_corpus as c on true
cross join progress as r
where r.attempts > 0
  and (c.deterministic_shuffle_seed is null or p.sampler_seed is distinct from c.deterministic_shuffle_seed)
