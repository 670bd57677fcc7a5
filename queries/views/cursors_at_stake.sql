-- name: cursors_at_stake
-- about: Checkpoints that are promised, or that the run speaks of, where positions are promised too.
select 'promised' as why from promised_saves where exists (select * from batch_schedule)
union all
select checkpoint_id from promised_checkpoints where exists (select * from batch_schedule)
