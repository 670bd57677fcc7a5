-- name: receipts_rederive
-- law: Every receipt that is recorded, or that a completed stage rests on, is, field for field, what its basis gives.
-- family: stage
-- level: accounted
-- over: promised_receipts
-- applies: receipts_at_stake
select pointer as subject, event_seq, stream, expected, actual
from receipt_checks
union all
select 'receipt ' || lower(hex(sha256)), seq, stream, 'a recorded receipt', 'never recorded'
from promised_receipts
where recorded_seq is null
