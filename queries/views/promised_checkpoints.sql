-- name: promised_checkpoints
-- about: Every checkpoint that was written, and those that others rest on: as a parent, to resume from, or promoted.
select distinct checkpoint_id from (
  select checkpoint_id from checkpoint_written
  union all select parent_checkpoint_id from checkpoint_written
  union all select checkpoint_id from attempts
  union all select checkpoint_id from checkpoint_loaded
  union all select checkpoint_id from checkpoint_promoted
) where checkpoint_id is not null
