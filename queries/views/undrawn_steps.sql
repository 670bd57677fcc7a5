-- name: undrawn_steps
-- about: The promised steps that lack positions of their global batch: who counts only what was drawn misses them.
select s.step, b.stream, b.seq, p.sequences as positions_expected, coalesce(b.positions, 0) as positions_found,
  coalesce(p.sequences || ' positions of step ' || s.step || ' drawn', 'a batch of step ' || s.step) as expected,
  coalesce(b.positions, 0) || ' drawn' as actual
from promised_steps as s
left join planned_steps as p on p.step = s.step
left join batch_rollup as b on b.step = s.step
where not coalesce(b.positions >= p.sequences, b.positions > 0 and not exists (select * from batch_schedule), false)
