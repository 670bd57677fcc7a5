-- name: evaluations_at_stake
-- about: Evaluations that are promised, or that were made where the plan declares which sets they measure.
select 'promised' as why from promised_evaluations
union all
select evaluation_id from split_loss_measured where exists (select * from evaluation_sets)
