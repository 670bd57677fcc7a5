-- name: loss_divisors_are_target_tokens
-- law: The divisor of each step's loss is the number of the step's target tokens.
-- family: replay
-- level: accounted
-- over: promised_steps
-- applies: target_divisors
select 'step ' || n.step as subject, s.seq as event_seq, s.stream,
  coalesce('divisor ' || b.target_tokens, 'batches') as expected,
  coalesce('divisor ' || s.divisor_min || ' to ' || s.divisor_max, 'no loss') as actual
from promised_steps as n
left join batch_rollup as b on b.step = n.step
left join (
  select step, min(loss_divisor) as divisor_min, max(loss_divisor) as divisor_max,
    min(seq) filter (rank = 0) as seq, min(stream) as stream
  from train_steps group by step
) as s on s.step = n.step
where b.step is null
  or s.divisor_min is distinct from b.target_tokens::double or s.divisor_max is distinct from b.target_tokens::double
