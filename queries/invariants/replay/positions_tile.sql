-- name: positions_tile
-- law: The effective train positions are 0..m, m = steps x global batch: no gap, no overlap.
-- family: replay
-- level: accounted
-- over: promised_steps
select 'step ' || s.step as subject, b.seq as event_seq, b.stream,
  coalesce('positions ' || (s.step - 1)::hugeint * p.global_batch_sequences || ' to ' || (s.step::hugeint * p.global_batch_sequences - 1)
    || ', each once, in batches of one size', 'null') as expected,
  coalesce('positions ' || b.first_position || ' to ' || (b.end_position - 1) || ', ' || b.positions || ' in ' || b.batches
    || ' batches (' || b.batches_distinct || ' distinct) of ' || b.size_min || ' to ' || b.size_max || ', ' || b.misaligned
    || ' out of place', 'no batch') as actual
from promised_steps as s
left join batch_rollup as b on b.step = s.step
left join sampling_plan as p on true
where b.first_position is distinct from (s.step - 1)::hugeint * p.global_batch_sequences
  or b.end_position is distinct from s.step::hugeint * p.global_batch_sequences
  or b.positions is distinct from p.global_batch_sequences
  or b.batches is distinct from b.batches_distinct
  or b.size_min is distinct from b.size_max or b.misaligned is distinct from 0
order by s.step
