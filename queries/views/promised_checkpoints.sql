-- name: promised_checkpoints
-- about: Every checkpoint that was written, and those that others rest on: as a parent, to resume from, or promoted. The
--   base that the run begins with is of another ledger, or of none.
select distinct checkpoint_id from (
  select checkpoint_id from checkpoint_written
  union all select parent_checkpoint_id from checkpoint_written
  union all select checkpoint_id from attempts
  union all select checkpoint_id from checkpoint_loaded
  union all select checkpoint_id from checkpoint_promoted
) where checkpoint_id is not null and (
  checkpoint_id not in (select coalesce(checkpoint_id, '') from base_checkpoint)
  or checkpoint_id in (select checkpoint_id from checkpoint_written))
