-- name: loss_divisors_are_target_tokens
-- law: The divisor of each step's loss is the step's target tokens: all but the first of each sequence.
-- family: replay
-- level: accounted
-- over: promised_steps
select 'step ' || n.step as subject, s.seq as event_seq, s.stream,
  coalesce('divisor ' || (b.tokens - b.sequences), 'batches') as expected,
  coalesce('divisor ' || s.divisor_min || ' to ' || s.divisor_max, 'no loss') as actual
from promised_steps as n
left join batch_rollup as b on b.step = n.step
left join (
  select step, min(loss_divisor_tokens) as divisor_min, max(loss_divisor_tokens) as divisor_max,
    min(seq) filter (rank = 0) as seq, min(stream) as stream
  from train_steps group by step
) as s on s.step = n.step
where b.step is null
  or s.divisor_min is distinct from b.tokens - b.sequences or s.divisor_max is distinct from b.tokens - b.sequences
order by n.step
