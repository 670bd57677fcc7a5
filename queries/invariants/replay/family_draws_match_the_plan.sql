-- name: family_draws_match_the_plan
-- law: Each family was drawn exactly as often as its slots occur in the consumed prefix of positions.
-- family: replay
-- level: accounted
-- over: planned_draws
select coalesce(p.source_family_id, f.source_family_id, 'null') as subject, cast(null as bigint) as event_seq,
  cast(null as varchar) as stream,
  case when p.source_family_id is null then 'no such family in the plan' else coalesce(p.draws || ' draws', 'null') end as expected,
  coalesce(f.draws, 0) || ' draws' as actual
from planned_draws as p
full join (
  select source_family_id, sum(draws) as draws from family_sequences group by source_family_id
) as f on f.source_family_id = p.source_family_id
where p.draws is null or coalesce(f.draws, 0) is distinct from p.draws
order by subject
