-- name: train_events
-- about: Where each fact about training stands, by kind: what must not follow a stage's completion, nor stand in a
--   completion stream.
select 'batch_replayed' as kind, role, stream, attempt, max(seq) as seq from batch_replayed where role in ('train', 'complete') group by role, stream, attempt
union all
select 'batch_skipped', role, stream, attempt, max(seq) from batch_skipped where role in ('train', 'complete') group by role, stream, attempt
union all
select 'step_completed', role, stream, attempt, max(seq) from step_completed where role in ('train', 'complete') group by role, stream, attempt
union all
select 'split_loss_measured', role, stream, attempt, max(seq) from split_loss_measured where role in ('train', 'complete') group by role, stream, attempt
union all
select 'contract_declared', role, stream, attempt, max(seq) from contract_declared where role in ('train', 'complete') group by role, stream, attempt
union all
select 'checkpoint_written', role, stream, attempt, max(seq) from checkpoint_written where role in ('train', 'complete') group by role, stream, attempt
union all
select 'checkpoint_loaded', role, stream, attempt, max(seq) from checkpoint_loaded where role in ('train', 'complete') group by role, stream, attempt
union all
select 'checkpoint_promoted', role, stream, attempt, max(seq) from checkpoint_promoted where role in ('train', 'complete') group by role, stream, attempt
union all
select 'attempt_started', role, stream, attempt, max(seq) from attempt_started where role in ('train', 'complete') group by role, stream, attempt
union all
select 'checkpoint_removed', role, stream, attempt, max(seq) from checkpoint_removed where role in ('train', 'complete') group by role, stream, attempt
union all
select 'run_started', role, stream, attempt, max(seq) from run_started where role in ('train', 'complete') group by role, stream, attempt
union all
select 'stage_started', role, stream, attempt, max(seq) from stage_started where role in ('train', 'complete') group by role, stream, attempt
union all
select 'stream_ended', role, stream, attempt, max(seq) from stream_ended where role in ('train', 'complete') group by role, stream, attempt
