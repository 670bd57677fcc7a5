-- name: measurements_are_declared
-- law: Nothing is measured that no evaluation set declares; where none is declared, nothing but a family of the data.
-- family: coverage
-- level: accounted
-- over: plan_families
-- applies: measurements_at_stake
select m.evaluation_id || ' ' || m.split_name || ' ' || m.source_family_id as subject, m.seq as event_seq, m.stream,
  case when exists (select * from evaluation_sets) then 'a declared set' else 'a family of the data' end as expected,
  coalesce(m.split_kind, 'a split') || ' is not declared for this family' as actual
from measurements as m
left join evaluation_sets as s on s.split_name = m.split_name and s.source_family_id = m.source_family_id
where s.split_name is null and (m.split_kind is null or exists (select * from evaluation_sets))
