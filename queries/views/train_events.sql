-- name: train_events
-- about: Where each fact about training stands, by kind: what must not follow a stage's completion.
select 'batch_replayed' as kind, stream, attempt, max(seq) as seq from batch_replayed where role = 'train' group by stream, attempt
union all
select 'batch_skipped', stream, attempt, max(seq) from batch_skipped where role = 'train' group by stream, attempt
union all
select 'step_completed', stream, attempt, max(seq) from step_completed where role = 'train' group by stream, attempt
union all
select 'split_loss_measured', stream, attempt, max(seq) from split_loss_measured where role = 'train' group by stream, attempt
union all
select 'contract_declared', stream, attempt, max(seq) from contract_declared where role = 'train' group by stream, attempt
union all
select 'checkpoint_written', stream, attempt, max(seq) from checkpoint_written where role = 'train' group by stream, attempt
union all
select 'checkpoint_loaded', stream, attempt, max(seq) from checkpoint_loaded where role = 'train' group by stream, attempt
union all
select 'checkpoint_promoted', stream, attempt, max(seq) from checkpoint_promoted where role = 'train' group by stream, attempt
union all
select 'attempt_started', stream, attempt, max(seq) from attempt_started where role = 'train' group by stream, attempt
union all
select 'checkpoint_removed', stream, attempt, max(seq) from checkpoint_removed where role = 'train' group by stream, attempt
union all
select 'run_started', stream, attempt, max(seq) from run_started where role = 'train' group by stream, attempt
union all
select 'stage_started', stream, attempt, max(seq) from stage_started where role = 'train' group by stream, attempt
union all
select 'stream_ended', stream, attempt, max(seq) from stream_ended where role = 'train' group by stream, attempt
