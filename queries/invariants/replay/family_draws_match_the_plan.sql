-- name: family_draws_match_the_plan
-- law: Each family was drawn exactly as often as its slots occur in the consumed prefix of positions.
-- family: replay
-- level: accounted
-- over: family_weights
select w.source_family_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  m.end_position // 10000 * w.sampling_weight_bps + coalesce(c.slots, 0) || ' draws' as expected,
  coalesce(f.draws, 0) || ' draws' as actual
from family_weights as w
cross join (select coalesce(max(end_position), 0) as end_position from batch_rollup) as m
left join (
  select c.source_family_id, count(*) as slots
  from cycle_slots as c
  cross join (select coalesce(max(end_position), 0) % 10000 as slots from batch_rollup) as part
  where c.slot < part.slots
  group by c.source_family_id
) as c on c.source_family_id = w.source_family_id
left join (
  select source_family_id, sum(draws) as draws from family_sequences group by source_family_id
) as f on f.source_family_id = w.source_family_id
where coalesce(f.draws, 0) is distinct from m.end_position // 10000 * w.sampling_weight_bps + coalesce(c.slots, 0)
order by w.source_family_id
