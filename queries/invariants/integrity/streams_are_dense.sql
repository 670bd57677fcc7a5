-- name: streams_are_dense
-- law: Each stream is one chain from its genesis: seq 0, 1, 2, ... without a hole, each range linked to the one before.
-- family: integrity
-- level: intact
-- over: stream_ranges
select stream as subject, first_seq as event_seq, stream,
  'seq ' || (previous_seq + 1) || ', link ' || previous_link as expected,
  'seq ' || first_seq || ', link ' || link_before || ', ' || events || ' events through seq ' || last_seq as actual
from (
  select stream, first_seq, last_seq, link_before, events,
    coalesce(lag(last_seq) over one, -1) as previous_seq, coalesce(lag(link_after) over one, first_link) as previous_link
  from stream_ranges
  window one as (partition by stream order by first_seq)
)
where first_seq is distinct from previous_seq + 1
  or link_before is distinct from previous_link
  or events is distinct from last_seq - first_seq + 1
