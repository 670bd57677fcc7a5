-- name: sequence_documents
-- about: Which documents stand in which sequence, with how many tokens.
select sequence_id, split_name, source_family_id, document.source_id as source_id,
  document.document_id as document_id, document.tokens as tokens
from (select sequence_id, split_name, source_family_id, unnest(documents) as document from sequence_index)
