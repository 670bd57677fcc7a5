-- name: policy_is_the_declared_one
-- law: The stage names the id and version of the declared sampling policy.
-- family: binding
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select n.subject, s.seq as event_seq, s.stream, coalesce(n.expected, 'null') as expected, coalesce(n.actual, 'null') as actual
from stage_config as s
left join sampling_policy as p on true
cross join lateral (values
  ('sampling_policy_id', p.policy_id, s.sampling_policy_id),
  ('sampling_policy_version', p.policy_version, s.sampling_policy_version)
) as n (subject, expected, actual)
cross join progress as r
where r.attempts > 0 and (n.expected is null or n.actual is distinct from n.expected)
