-- name: manifest_is_chained
-- law: Each manifest entry has the bytes that its own sha256 covers, and names the sha256 of the one before.
-- family: integrity
-- level: intact
-- over: manifest_links
select path as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream, expected, actual
from manifest_links
where expected is distinct from actual
