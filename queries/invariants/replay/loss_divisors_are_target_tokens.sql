-- name: loss_divisors_are_target_tokens
-- law: The divisor of each step's loss is the step's target tokens: all but the first of each sequence.
-- family: replay
-- level: accounted
-- over: batch_rollup
select 'step ' || b.step as subject, s.seq as event_seq, s.stream,
  'divisor ' || (b.tokens - b.sequences) as expected,
  coalesce('divisor ' || s.divisor_min || ' to ' || s.divisor_max, 'no loss') as actual
from batch_rollup as b
left join (
  select step, min(loss_divisor_tokens) as divisor_min, max(loss_divisor_tokens) as divisor_max,
    min(seq) filter (rank = 0) as seq, min(stream) as stream
  from train_steps group by step
) as s on s.step = b.step
where s.divisor_min is distinct from b.tokens - b.sequences or s.divisor_max is distinct from b.tokens - b.sequences
order by b.step
