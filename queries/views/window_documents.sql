-- name: window_documents
-- about: Which documents stand in which drawn window, with how many tokens. A window is named by its first token's place
--   in its split and family.
select u.sequence_id, d.split_name, d.source_family_id, d.source_id, d.document_id,
  least(d.first_token::hugeint + d.tokens, u.sequence_id - p.first_sequence_id + w.sequence_tokens)
    - greatest(d.first_token, u.sequence_id - p.first_sequence_id) as tokens
from window_plans as w
cross join sequence_uses as u
join plan_families as p on u.sequence_id >= p.first_sequence_id and u.sequence_id < p.end_sequence_id
join document_index as d on d.split_name = p.split_name and d.source_family_id = p.source_family_id
  and d.first_token < u.sequence_id - p.first_sequence_id + w.sequence_tokens
  and d.first_token::hugeint + d.tokens > u.sequence_id - p.first_sequence_id
