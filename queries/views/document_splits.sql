-- name: document_splits
-- about: Every document of either index, and the splits in which it stands.
-- materialise: true
select source_id, document_id, count(distinct split_name) as splits, min(split_name) as split_name,
  max(split_name) as other_split_name, sum(tokens) as tokens
from (
  select source_id, document_id, split_name, tokens from sequence_documents
  union all
  select source_id, document_id, split_name, tokens from document_index
)
group by source_id, document_id
