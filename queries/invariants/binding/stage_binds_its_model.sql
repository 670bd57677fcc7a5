-- name: stage_binds_its_model
-- law: The stage names the model id, descriptor digest and tokenizer binding digest of the declared descriptor.
-- family: binding
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select n.subject, s.seq as event_seq, s.stream, coalesce(n.expected, 'null') as expected, coalesce(n.actual, 'null') as actual
from stage_config as s
left join model_descriptor as m on true
left join derived_digests as d on true
cross join lateral (values
  ('model_id', m.model_id, s.model_id),
  ('model_descriptor_digest', d.model_descriptor_digest, s.model_descriptor_digest),
  ('tokenizer_binding_digest', d.tokenizer_binding_digest, s.tokenizer_binding_digest)
) as n (subject, expected, actual)
cross join progress as r
where r.attempts > 0 and (n.expected is null or n.actual is distinct from n.expected)
