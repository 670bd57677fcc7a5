-- name: drawn_batches
-- about: The batches whose positions count as drawn: those trained on, and those skipped on the way.
select stream, attempt, rank, seq, step, micro_step, first_position, end_position, stride, sequences, sequence_ids,
  sequence_sha256s, family_tokens, tokens, target_tokens, token_sha256, false as skipped
from train_batches
union all
select stream, attempt, rank, seq, step, micro_step, first_position, end_position, stride, sequences, sequence_ids,
  sequence_sha256s, family_tokens, tokens, target_tokens, token_sha256, true
from skipped_batches
