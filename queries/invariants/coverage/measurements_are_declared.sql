-- name: measurements_are_declared
-- law: Nothing is measured that no evaluation set declares.
-- family: coverage
-- level: accounted
-- over: evaluation_sets
-- applies: evaluations_at_stake
select m.evaluation_id || ' ' || m.split_name || ' ' || m.source_family_id as subject, m.seq as event_seq, m.stream,
  'a declared set' as expected, coalesce(m.split_kind, 'a split') || ' is not declared for this family' as actual
from measurements as m
left join evaluation_sets as s on s.split_name = m.split_name and s.source_family_id = m.source_family_id
where s.split_name is null
order by m.stream, m.seq
