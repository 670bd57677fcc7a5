-- name: index_covers_the_plan
-- law: The sequence index has exactly the planned sequences of each split and family, each with its tokens, digest and documents.
-- family: binding
-- level: accounted
-- over: plan_families
-- applies: indexed_plans
select coalesce(p.split_name, i.split_name, 'null') || ' ' || coalesce(p.source_family_id, i.source_family_id, 'null') as subject,
  cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  case when p.split_name is null then 'no such pair in the plan'
    else coalesce('ids ' || p.first_sequence_id || ' to ' || (p.end_sequence_id - 1) || ', ' || p.sequences || ' sequences, '
      || p.tokens || ' tokens', 'null') end as expected,
  coalesce('ids ' || i.first_sequence_id || ' to ' || (i.end_sequence_id - 1) || ', ' || i.sequences || ' sequences ('
    || i.sequences_distinct || ' distinct, ' || i.digests || ' digests), ' || i.tokens || ' tokens (of documents: '
    || coalesce(i.document_tokens, 0) || ')', 'none') as actual
from plan_families as p
full join indexed_families as i on i.split_name = p.split_name and i.source_family_id = p.source_family_id
cross join progress as r
where r.attempts > 0 and (
  i.first_sequence_id is distinct from p.first_sequence_id or i.end_sequence_id is distinct from p.end_sequence_id
  or i.sequences is distinct from p.sequences or i.sequences_distinct is distinct from p.sequences
  or i.digests is distinct from p.sequences
  or i.tokens is distinct from p.tokens or i.document_tokens is distinct from p.tokens)
