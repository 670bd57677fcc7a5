-- name: checkpoints_at_stake
-- about: Checkpoints that are promised, or that the run speaks of.
select 'promised' as why from promised_saves
union all
select checkpoint_id from promised_checkpoints
