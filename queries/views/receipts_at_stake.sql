-- name: receipts_at_stake
-- about: A receipt that the run's stage promises, or that was recorded.
select 'promised' as why from declared_stages
union all
select lower(hex(sha256)) from promised_receipts
