-- name: evaluations_measure_declared_sets
-- law: Each evaluation measures each declared set exactly once, and all of it.
-- family: coverage
-- level: accounted
-- over: promised_measurements
select p.evaluation_id || ' ' || coalesce(p.split_name, 'null') || ' ' || coalesce(p.source_family_id, 'null') as subject,
  coalesce(m.seq, p.seq) as event_seq, coalesce(m.stream, p.stream) as stream,
  coalesce('once, ' || p.split_kind || ' sequences ' || p.first_sequence_id || ' to ' || (p.end_sequence_id - 1) || ', '
    || p.target_tokens || ' target tokens', 'null') as expected,
  coalesce(m.measured || ' times, ' || m.split_kind || ' sequences ' || m.first_sequence_id || ' to '
    || (m.end_sequence_id - 1) || ', ' || m.target_tokens || ' target tokens', 'not measured') as actual
from promised_measurements as p
left join (
  select evaluation_id, split_name, source_family_id, count(*) as measured, min(split_kind) as split_kind,
    min(first_sequence_id) as first_sequence_id, max(end_sequence_id) as end_sequence_id,
    max(target_tokens) as target_tokens, max(seq) as seq, max(stream) as stream
  from measurements group by evaluation_id, split_name, source_family_id
) as m on m.evaluation_id = p.evaluation_id and m.split_name = p.split_name and m.source_family_id = p.source_family_id
where m.measured is distinct from 1 or m.split_kind is distinct from p.split_kind
  or m.first_sequence_id is distinct from p.first_sequence_id
  or m.end_sequence_id is distinct from p.end_sequence_id or m.target_tokens is distinct from p.target_tokens
order by subject
