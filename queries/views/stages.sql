-- name: stages
-- about: The stages of the run and where each was completed.
select s.stage_id, s.stage_kind, s.ordinal, s.checkpoint_family, s.config_sha256, s.base_checkpoint_id, s.stream, s.seq,
  s.attempt, c.seq as completed_seq, c.stream as completed_stream, c.attempt as completed_attempt,
  c.receipt_sha256s, c.completed_at_ms, c.completion_digest
from stage_started as s
left join stage_completed as c on c.stage_id = s.stage_id
