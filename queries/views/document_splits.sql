-- name: document_splits
-- about: Every document of the sequence index, and the splits in which it stands.
-- materialise: true
select source_id, document_id, count(distinct split_name) as splits, min(split_name) as split_name,
  max(split_name) as other_split_name, sum(tokens) as tokens
from sequence_documents
group by source_id, document_id
