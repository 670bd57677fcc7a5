-- name: drawn_batches
-- about: The batches whose positions count as drawn: those trained on, and those skipped on the way.
select stream, attempt, rank, seq, step, micro_step, first_position, end_position, sequence_ids, family_tokens, tokens,
  token_sha256, false as skipped
from train_batches
union all
select b.stream, b.attempt, b.rank, b.seq, b.step, b.micro_step, b.first_position, b.end_position, b.sequence_ids,
  b.family_tokens, b.tokens, b.token_sha256, true
from batch_skipped as b
left join attempts as a on a.attempt = b.attempt
where b.pass_id = 'train' and b.role = 'train' and not coalesce(b.step > a.kept_through_step, false)
