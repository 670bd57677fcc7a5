-- name: positions_tile
-- law: The effective train positions are 0..m, m = steps x global batch: no gap, no overlap.
-- family: replay
-- level: accounted
-- over: batch_rollup
select 'step ' || b.step as subject, b.seq as event_seq, b.stream,
  coalesce('positions ' || (b.step - 1) * p.global_batch_sequences || ' to ' || (b.step * p.global_batch_sequences - 1)
    || ', each once, in batches of one size', 'null') as expected,
  'positions ' || b.first_position || ' to ' || (b.end_position - 1) || ', ' || b.positions || ' in ' || b.batches
    || ' batches (' || b.batches_distinct || ' distinct) of ' || b.size_min || ' to ' || b.size_max || ', ' || b.misaligned
    || ' out of place' as actual
from batch_rollup as b
left join sampling_plan as p on true
where b.first_position is distinct from (b.step - 1) * p.global_batch_sequences
  or b.end_position is distinct from b.step * p.global_batch_sequences
  or b.positions is distinct from p.global_batch_sequences
  or b.batches is distinct from b.batches_distinct
  or b.size_min is distinct from b.size_max or b.misaligned is distinct from 0
order by b.step
