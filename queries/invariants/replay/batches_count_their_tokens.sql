-- name: batches_count_their_tokens
-- law: The token counts of each batch's families sum to its tokens, and it names as many sequences as it has.
-- family: replay
-- level: accounted
-- over: promised_steps
select 'step ' || s.step as subject, b.seq as event_seq, b.stream,
  coalesce(b.family_tokens || ' tokens, ' || b.positions || ' sequences', 'batches') as expected,
  coalesce(b.tokens || ' tokens, ' || b.sequences || ' sequences', 'no batch') as actual
from promised_steps as s
left join batch_rollup as b on b.step = s.step
where b.step is null or b.tokens is distinct from b.family_tokens or b.sequences is distinct from b.positions
