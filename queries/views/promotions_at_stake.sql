-- name: promotions_at_stake
-- about: A promotion that the run's stage promises, or that was made.
select 'promised' as why from declared_stages
union all
select checkpoint_id from checkpoint_promoted
