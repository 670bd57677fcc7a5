-- name: promised_receipts
-- about: Every receipt that was recorded, and those that a completed stage names. `recorded_seq` is null for one that
--   nobody recorded; then the place is that of the completion.
select r.sha256, r.stream, r.seq, r.seq as recorded_seq
from receipt_recorded as r
union all
select distinct n.sha256, n.stream, n.seq, cast(null as bigint)
from (
  select unnest(receipt_sha256s) as sha256, completed_stream as stream, completed_seq as seq from completed_stages
) as n
left join receipt_recorded as r on r.sha256 = n.sha256
where r.seq is null
