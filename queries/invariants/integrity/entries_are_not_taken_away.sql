-- name: entries_are_not_taken_away
-- law: Every sealed segment is named by a manifest entry, unless a crash can have left it: then its journal is still there.
-- family: integrity
-- level: intact
-- over: stream_ranges
select path as subject, first_seq as event_seq, stream, 'an entry that names it' as expected,
  'none, and its journal is gone: the manifest was rolled back' as actual
from unnamed_segments
