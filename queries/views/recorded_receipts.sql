-- name: recorded_receipts
-- about: Every recorded receipt, the manifest entries that it was derived from, and the one that it is sealed in (null: not yet).
select r.sha256, r.basis_entries, r.stream, r.seq, e.entry
from receipt_recorded as r
left join stream_ranges as e on e.stream = r.stream and e.first_seq <= r.seq and e.last_seq >= r.seq
