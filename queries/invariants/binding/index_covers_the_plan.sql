-- name: index_covers_the_plan
-- law: The sequence index has exactly the planned range of sequences for each split and family, with their tokens.
-- family: binding
-- level: accounted
-- over: plan_families
select p.split_name || ' ' || p.source_family_id as subject, cast(null as bigint) as event_seq,
  cast(null as varchar) as stream,
  'ids ' || p.first_sequence_id || ' to ' || (p.end_sequence_id - 1) || ', ' || p.tokens || ' tokens' as expected,
  coalesce('ids ' || i.first_id || ' to ' || i.last_id || ' (' || i.sequences || '), ' || i.tokens || ' tokens', 'none') as actual
from plan_families as p
left join (
  select split_name, source_family_id, min(sequence_id) as first_id, max(sequence_id) as last_id,
    count(distinct sequence_id) as sequences, count(*) as rows_total, sum(tokens) as tokens
  from sequence_index group by split_name, source_family_id
) as i on i.split_name = p.split_name and i.source_family_id = p.source_family_id
where i.first_id is distinct from p.first_sequence_id or i.last_id is distinct from p.end_sequence_id - 1
  or i.sequences is distinct from p.sequences or i.rows_total is distinct from p.sequences
  or i.tokens is distinct from p.tokens
order by subject
