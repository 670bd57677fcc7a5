-- name: files_hold_their_digests
-- law: Every file that the record names is there and has the sha256 that was sealed.
-- family: integrity
-- level: intact
-- over: ledger_files
select path as subject, first_seq as event_seq, stream, sha256_expected as expected,
  coalesce(sha256_actual, 'missing') as actual
from ledger_files
where sha256_actual is distinct from sha256_expected
