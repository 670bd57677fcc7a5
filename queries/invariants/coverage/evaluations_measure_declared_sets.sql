-- name: evaluations_measure_declared_sets
-- law: Each evaluation measures each declared set once: its sequences, and their target tokens.
-- family: coverage
-- level: accounted
-- over: promised_measurements
-- applies: evaluations_at_stake
select p.evaluation_id || ' ' || coalesce(p.split_name, 'null') || ' ' || coalesce(p.source_family_id, 'null') as subject,
  coalesce(m.seq, p.seq) as event_seq, coalesce(m.stream, p.stream) as stream,
  coalesce('once, ' || p.evaluation_set || ', ' || p.sequences || ' sequences'
    || coalesce(' ' || p.first_sequence_id || ' to ' || (p.end_sequence_id - 1) || ' by ' || p.stride, '')
    || coalesce(', ' || p.target_tokens || ' target tokens', ''), 'null') as expected,
  coalesce(m.measured || ' times, ' || m.evaluation_set || ', ' || m.sequences || ' sequences'
    || coalesce(' ' || m.first_sequence_id || ' to ' || (m.end_sequence_id - 1) || ' by ' || m.stride, '')
    || ', ' || m.target_tokens || ' target tokens', 'not measured') as actual
from promised_measurements as p
left join (
  select evaluation_id, split_name, source_family_id, count(*) as measured, min(evaluation_set) as evaluation_set,
    min(sequences) as sequences, min(first_sequence_id) as first_sequence_id, max(end_sequence_id) as end_sequence_id,
    max(stride) as stride, max(target_tokens) as target_tokens, max(seq) as seq, max(stream) as stream
  from measurements group by evaluation_id, split_name, source_family_id
) as m on m.evaluation_id = p.evaluation_id and m.split_name = p.split_name and m.source_family_id = p.source_family_id
where m.measured is distinct from 1 or m.evaluation_set is distinct from p.evaluation_set
  or m.sequences is distinct from p.sequences
  or (p.stride is not null and (m.first_sequence_id is distinct from p.first_sequence_id
    or m.end_sequence_id is distinct from p.end_sequence_id or m.stride is distinct from p.stride))
  or (p.target_tokens is not null and m.target_tokens is distinct from p.target_tokens)
