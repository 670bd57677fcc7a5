-- name: undrawn_steps
-- about: The promised steps that lack positions of their global batch: who counts only what was drawn misses them.
select s.step, b.stream, b.seq,
  coalesce(p.global_batch_sequences || ' positions of step ' || s.step || ' drawn', 'a planned batch of step ' || s.step)
    as expected,
  coalesce(b.positions, 0) || ' drawn' as actual
from promised_steps as s
left join sampling_plan as p on true
left join batch_rollup as b on b.step = s.step
where not coalesce(b.positions >= p.global_batch_sequences, false)
