-- name: planned_draws
-- about: How often each training family's slots occur in the promised positions.
-- materialise: true
select w.source_family_id, m.end_position // 10000 * w.sampling_weight_bps + coalesce(c.slots, 0) as draws
from family_weights as w
cross join (select count(*) as end_position from promised_positions) as m
left join (
  select s.source_family_id, count(*) as slots
  from cycle_slots as s
  cross join (select count(*) % 10000 as slots from promised_positions) as part
  where s.slot < part.slots
  group by s.source_family_id
) as c on c.source_family_id = w.source_family_id
