-- name: receipts_rederive
-- law: Every recorded receipt is, field for field, what its basis gives.
-- family: stage
-- level: accounted
-- over: receipt_recorded
select pointer as subject, event_seq, stream, expected, actual
from receipt_checks
order by event_seq, pointer
