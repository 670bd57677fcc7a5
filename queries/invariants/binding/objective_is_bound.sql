-- name: objective_is_bound
-- law: The objective is next-token prediction over the descriptor's tokenizer binding and context length.
-- family: binding
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select n.subject, s.seq as event_seq, s.stream, coalesce(n.expected, 'null') as expected, coalesce(n.actual, 'null') as actual
from stage_config as s
left join model_descriptor as m on true
left join derived_digests as d on true
cross join lateral (values
  ('objective_kind', 'next_token_prediction', s.objective_kind),
  ('tokenizer_binding_digest', d.tokenizer_binding_digest, s.objective_tokenizer_binding_digest),
  ('max_context_tokens', cast(m.max_context_tokens as varchar), cast(s.max_context_tokens as varchar))
) as n (subject, expected, actual)
cross join progress as r
where r.attempts > 0 and (n.expected is null or n.actual is distinct from n.expected)
