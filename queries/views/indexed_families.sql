-- name: indexed_families
-- about: What the sequence index holds of each split and family; `document_tokens` are those of the documents in it.
-- materialise: true
select split_name, source_family_id, min(sequence_id) as first_sequence_id, try_cast(max(sequence_id)::hugeint + 1 as bigint) as end_sequence_id,
  count(*) as sequences, count(distinct sequence_id) as sequences_distinct, count(token_sha256) as digests,
  try_cast(sum(tokens) as bigint) as tokens,
  try_cast(sum(list_sum(list_transform(documents, lambda d: d.tokens))) as bigint) as document_tokens
from sequence_index
group by split_name, source_family_id
