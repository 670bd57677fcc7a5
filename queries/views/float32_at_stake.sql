-- name: float32_at_stake
-- about: Checkpoints that are promised, or that the run speaks of, of a model whose tensors are all float32.
select 'promised' as why from promised_saves where exists (select * from float32_models)
union all
select checkpoint_id from promised_checkpoints where exists (select * from float32_models)
