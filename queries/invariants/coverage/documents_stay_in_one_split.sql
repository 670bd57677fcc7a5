-- name: documents_stay_in_one_split
-- law: No document stands in two splits.
-- family: coverage
-- level: accounted
-- over: document_splits
select document_id || ' of ' || source_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'one split' as expected, split_name || ' and ' || other_split_name as actual
from document_splits
where splits is distinct from 1
order by subject
