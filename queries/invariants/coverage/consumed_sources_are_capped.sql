-- name: consumed_sources_are_capped
-- law: Every source that training consumed has a cap in the policy.
-- family: coverage
-- level: accounted
-- over: source_caps
-- applies: sampling_policy
select coalesce(c.source_id, 'null') as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'a cap in the policy' as expected, 'none, ' || c.tokens || ' tokens consumed' as actual
from (select source_id, sum(tokens) as tokens from source_consumption group by source_id) as c
left join source_caps as s on s.source_id = c.source_id
where s.source_id is null
union all
select 'step ' || step, seq, stream, expected, actual from undrawn_steps
