-- name: documents_stay_in_one_split
-- law: Each document of the index has a name, and none stands in two splits.
-- family: coverage
-- level: accounted
-- over: document_splits
-- applies: document_splits
select coalesce(document_id, 'null') || ' of ' || coalesce(source_id, 'null') as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'one split' as expected, split_name || ' and ' || other_split_name as actual
from document_splits
where splits is distinct from 1 or source_id is null or document_id is null
