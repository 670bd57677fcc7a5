-- name: cycle_slots
-- about: The 10,000 slots of a cycle in order: family f's k-th slot has the key (2k+1)/(2 weight), ties by family id.
--   A double orders these keys exactly: equal fractions divide to equal doubles, others differ by over 1e-9.
--   A policy whose weights are more than a cycle has no slots.
-- materialise: true
select row_number() over (order by key, source_family_id) - 1 as slot, source_family_id, draw_in_cycle,
  sampling_weight_bps
from (
  select w.source_family_id, w.sampling_weight_bps, k.draw_in_cycle,
    (2 * k.draw_in_cycle + 1)::double / (2 * w.sampling_weight_bps) as key
  from family_weights as w
  cross join (select sum(sampling_weight_bps) as slots from family_weights) as t,
    unnest(range(case when t.slots <= 10000 then w.sampling_weight_bps end)) as k (draw_in_cycle)
)
