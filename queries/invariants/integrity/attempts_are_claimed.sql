-- name: attempts_are_claimed
-- law: Each attempt that opened a stream was claimed in a file of this run.
-- family: integrity
-- level: intact
-- over: stream_ranges
select file as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'the claim of an attempt of this run' as expected, reason as actual
from attempt_faults
order by file
