-- name: batches_follow_the_order
-- law: At each promised position stands the sequence that the contracts' order puts there.
-- family: replay
-- level: ordered
-- over: promised_positions
-- needs: derived_order
select 'position ' || coalesce(d.position, o.position) as subject, d.seq as event_seq, d.stream,
  coalesce('sequence ' || o.sequence_id, 'no sequence') as expected,
  coalesce('sequence ' || d.sequence_id || ' in step ' || d.step || ' of rank ' || d.rank, 'no sequence') as actual
from drawn_sequences as d
full join derived_order as o on o.position = d.position
cross join progress as r
where d.sequence_id is distinct from o.sequence_id
  and (r.finished or o.position is not null or d.step <= r.due_step)
