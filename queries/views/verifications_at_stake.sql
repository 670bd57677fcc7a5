-- name: verifications_at_stake
-- about: A verification that the run's stage promises, or that was begun.
select 'promised' as why from declared_stages
union all
select stream from stream_opened where role = 'verify'
