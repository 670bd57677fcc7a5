-- name: order_repeats_as_declared
-- law: In a pass over the data the declared order names no sequence twice, unless it says that it may.
-- family: replay
-- level: ordered
-- over: promised_positions
-- needs: derived_order
-- applies: unrepeated_orders
select 'sequence ' || sequence_id as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'once in the pass from position ' || pass_position as expected,
  count(*) || ' times, first at position ' || min(position) as actual
from (
  select o.sequence_id, o.position, o.position - coalesce(o.position % p.pass_sequences, o.position) as pass_position
  from derived_order as o
  cross join unrepeated_orders as p
) as o
group by sequence_id, pass_position
having count(*) is distinct from 1
