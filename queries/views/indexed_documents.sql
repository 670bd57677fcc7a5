-- name: indexed_documents
-- about: What the document index holds of each split and family; a gap is a document that does not begin where the one
--   before it ends.
-- materialise: true
select split_name, source_family_id, count(*) as documents, try_cast(sum(tokens) as bigint) as tokens,
  count(*) filter (first_token <> end_before or tokens < 1) as gaps,
  min(first_token) filter (first_token <> end_before or tokens < 1) as first_gap
from (
  select split_name, source_family_id, first_token, tokens,
    coalesce(lag(first_token::hugeint + tokens) over (
      partition by split_name, source_family_id order by first_token, tokens
    ), 0) as end_before
  from document_index
)
group by split_name, source_family_id
