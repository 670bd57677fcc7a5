-- name: targets_are_counted
-- law: A rank's target tokens of a step are those of its batches, which the plan's rule gives.
-- family: replay
-- level: accounted
-- over: promised_steps
select 'step ' || n.step || coalesce(' rank ' || coalesce(b.rank, s.rank), '') as subject, s.seq as event_seq,
  coalesce(s.stream, b.stream) as stream,
  coalesce(coalesce(b.targets_ruled, b.target_tokens, 0) || ' target tokens', 'batches') as expected,
  coalesce(s.target_tokens || ' target tokens', 'no loss') || coalesce(', ' || b.target_tokens || ' in batches', '')
    as actual
from promised_steps as n
left join (
  select step, rank, min(target_tokens) as target_tokens, min(seq) as seq, min(stream) as stream
  from train_steps group by step, rank
) as s on s.step = n.step
left join (
  select b.step, b.rank, sum(b.target_tokens) as target_tokens, min(b.stream) as stream,
    sum(case q.targets when 'all_but_first' then b.tokens::hugeint - b.sequences when 'all' then b.tokens
      when 'given' then b.target_tokens end) as targets_ruled
  from train_batches as b
  cross join sampling_plan as q
  group by b.step, b.rank
) as b on b.step = n.step and (b.rank = s.rank or s.rank is null)
where s.target_tokens is distinct from coalesce(b.target_tokens, 0)
  or (b.step is not null and b.target_tokens is distinct from b.targets_ruled)
