-- name: order_repeats_as_declared
-- law: In a pass over the data the declared order names no sequence twice, unless it says that it may.
-- family: replay
-- level: ordered
-- over: promised_positions
-- needs: derived_order
-- applies: unrepeated_orders
select 'sequence ' || coalesce(o.sequence_id, -1) as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'once in pass ' || o.position // coalesce(p.pass_sequences, 9223372036854775807) as expected,
  count(*) || ' times, first at position ' || min(o.position) as actual
from derived_order as o
cross join sampling_plan as p
where p.may_repeat = 'nothing'
group by o.sequence_id, o.position // coalesce(p.pass_sequences, 9223372036854775807)
having count(*) is distinct from 1
order by min(o.position)
