-- name: damage_is_a_torn_tail
-- law: A journal is damaged at most behind its last synced event, and as a crash tears; all else was changed later.
-- family: integrity
-- level: intact
-- over: stream_ranges
select path as subject, damaged_seq as event_seq, stream,
  'whole at seq ' || damaged_seq || ', or torn and never synced' as expected,
  damage || ', durable through seq ' || durable_through as actual
from journal_tails
where tampered is distinct from false
