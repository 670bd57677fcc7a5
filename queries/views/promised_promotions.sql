-- name: promised_promotions
-- about: Every promotion that was made; where none was, the one that the run's stage promises.
select checkpoint_id from checkpoint_promoted
union all
select cast(null as varchar) from declared_stages where not exists (select * from checkpoint_promoted)
