-- name: streams
-- about: Every stream with events: what its first event says of it, where it ends, and with what. `ended_seq` is where it
--   says that it ends, null where it does not.
select k.stream, o.role, o.attempt, o.rank, o.host, o.pid, o.recorded_at_ns as opened_at_ns,
  k.first_seq, k.last_seq, k.events, k.link_after, e.seq as ended_seq, v.seq as verified_seq
from (
  select stream, min(first_seq) as first_seq, max(last_seq) as last_seq, sum(events) as events,
    arg_max(link_after, last_seq) as link_after
  from stream_ranges group by stream
) as k
left join stream_opened as o on o.stream = k.stream and o.seq = 0
left join (
  select stream, max(seq) as seq
  from (
    select stream, seq from stream_ended
    union all select stream, seq from run_finished
    union all select stream, seq from stage_advanced
  )
  group by stream
) as e on e.stream = k.stream
left join (select stream, max(seq) as seq from verification_completed group by stream) as v on v.stream = k.stream
