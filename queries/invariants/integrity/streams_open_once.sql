-- name: streams_open_once
-- law: Every stream begins with one stream_opened, and is named after what that says.
-- family: integrity
-- level: intact
-- over: streams
select s.stream as subject, coalesce(again.seq, 0) as event_seq, s.stream,
  'one stream_opened, at seq 0, of the role, attempt and rank in its name' as expected,
  case when again.seq is not null then 'another at seq ' || again.seq
    else coalesce(s.role || ' attempt ' || s.attempt || ' rank ' || s.rank, 'none at seq 0') end as actual
from streams as s
left join (select stream, min(seq) as seq from stream_opened where seq > 0 group by stream) as again
  on again.stream = s.stream
where again.seq is not null
  or not coalesce(
    (s.role = 'train' and s.stream = 't' || lpad(cast(s.attempt as varchar), 4, '0') || '.r' || lpad(cast(s.rank as varchar), 5, '0'))
    or (s.role = 'verify' and starts_with(s.stream, 'v.'))
    or (s.role = 'complete' and s.rank = 0 and regexp_full_match(s.stream, 'c\.[1-9][0-9]{0,8}')), false)
