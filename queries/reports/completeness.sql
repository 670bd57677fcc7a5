-- name: completeness
-- about: How much of the pretrain stage's promise is there, one row.
select
  (select count(distinct c.role) from contracts as c join required_contracts as r on r.role = c.role) as contracts,
  (select count(*) from required_contracts) as contracts_required,
  exists (select * from declared_stages) as stage_promised,
  exists (select * from evaluations_at_stake) as evaluations_at_stake,
  exists (select * from checkpoints_at_stake) as checkpoints_at_stake,
  (select count(*) from final_split_loss as f
    join split_families as p on p.split_name = f.split_name and p.source_family_id = f.source_family_id)
    as split_family_rows,
  (select count(*) from split_families) as split_family_rows_promised,
  (select count(*) from verification_passes where exact) as replays,
  (select checkpoint_id from promoted_checkpoint) as promoted_checkpoint_id,
  (select count(*) from receipt_recorded) as receipts,
  (select count(*) from completed_stages) as stages_completed,
  (select count(*) from stages) as stages_started,
  (select stage_id from stage_config) as stage_id,
  (select finished from progress) as finished
