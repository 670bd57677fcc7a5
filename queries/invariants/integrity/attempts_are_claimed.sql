-- name: attempts_are_claimed
-- law: Each attempt that trained was claimed, and each stream names the claim of its attempt.
-- family: integrity
-- level: intact
-- over: stream_ranges
select file as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  'the claim of an attempt of this run' as expected, reason as actual
from attempt_faults
union all
select coalesce(c.file, 'attempts/' || o.attempt || '.json'), o.seq, o.stream,
  coalesce('sha256 ' || c.sha256, 'a claim'), 'sha256 ' || lower(hex(o.attempt_sha256))
from stream_opened as o
left join attempt_claims as c on c.attempt = o.attempt
where o.seq = 0 and c.sha256 is distinct from lower(hex(o.attempt_sha256))
