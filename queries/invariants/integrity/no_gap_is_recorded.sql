-- name: no_gap_is_recorded
-- law: No writer had to leave events out.
-- family: integrity
-- level: intact
-- over: streams
select g.gap_stream as subject, g.seq as event_seq, g.stream, 'no gap' as expected,
  coalesce(cast(g.events_lost as varchar), 'unknown number of') || ' events lost after seq ' || g.after_seq || ': '
    || g.reason as actual
from gap_recorded as g
