-- name: batches_count_their_tokens
-- law: A step's tokens are the tokens of its families, and it holds one sequence a position.
-- family: replay
-- level: accounted
-- over: batch_rollup
select 'step ' || step as subject, seq as event_seq, stream,
  family_tokens || ' tokens, ' || positions || ' sequences' as expected,
  tokens || ' tokens, ' || sequences || ' sequences' as actual
from batch_rollup
where tokens is distinct from family_tokens or sequences is distinct from positions
order by step
