-- name: document_index_covers_the_plan
-- law: Where sequences are windows, the documents of each split and family follow each other over all of its tokens.
-- family: binding
-- level: accounted
-- over: plan_families
-- applies: window_plans
select coalesce(p.split_name, i.split_name, 'null') || ' ' || coalesce(p.source_family_id, i.source_family_id, 'null') as subject,
  cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  case when p.split_name is null then 'no such pair in the plan'
    else coalesce(p.tokens || ' tokens, without a gap', 'null') end as expected,
  coalesce(i.documents || ' documents of ' || coalesce(cast(i.tokens as varchar), 'too many') || ' tokens'
    || case when i.gaps > 0 then ', a gap before token ' || i.first_gap else '' end, 'none') as actual
from plan_families as p
full join indexed_documents as i on i.split_name = p.split_name and i.source_family_id = p.source_family_id
cross join progress as r
where r.attempts > 0 and (i.tokens is distinct from p.tokens or i.gaps is distinct from 0 or p.split_name is null)
