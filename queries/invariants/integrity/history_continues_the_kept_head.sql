-- name: history_continues_the_kept_head
-- law: The manifest begins with the very entries of a signed head that somebody kept outside.
-- family: integrity
-- level: intact
-- over: kept_heads
-- needs: kept_heads
select subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream, expected, actual
from kept_heads
where expected is distinct from actual
