-- name: dataset_identity_agrees
-- law: Stage, objective, policy, plan and replay contract name the corpus's own identity.
-- family: binding
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select n.subject, s.seq as event_seq, s.stream, coalesce(c.dataset_identity, 'no corpus') as expected,
  coalesce(n.actual, 'null') as actual
from stage_config as s
left join tokenized_corpus as c on true
left join sampling_policy as p on true
left join sampling_plan as q on true
cross join lateral (values
  ('stage_config/dataset_identity', s.dataset_identity),
  ('stage_config/objective_config/dataset_identity', s.objective_dataset_identity),
  ('sampling_policy/dataset_identity', p.dataset_identity),
  ('sampling_plan/dataset_identity', q.dataset_identity),
  ('tokenized_corpus/replay_contract/stable_dataset_identity', c.stable_dataset_identity)
) as n (subject, actual)
cross join progress as r
where r.attempts > 0 and (c.dataset_identity is null or n.actual is distinct from c.dataset_identity)
