-- name: measurements_at_stake
-- about: Evaluations that are promised, or that were made.
select 'promised' as why from promised_evaluations
union all
select evaluation_id from split_loss_measured
