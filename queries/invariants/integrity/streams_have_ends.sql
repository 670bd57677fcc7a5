-- name: streams_have_ends
-- law: A stream ends where it says so, or where a later stream that rests on it found its end.
-- family: integrity
-- level: intact
-- over: streams
select coalesce(s.stream, p.stream) as subject, coalesce(s.last_seq, p.last_seq) as event_seq,
  coalesce(s.stream, p.stream) as stream,
  case when p.stream is null or (s.last_seq = p.last_seq and s.link_after = p.chain_head)
      then case when s.role = 'complete' then 'run_finished' when r.finished and s.attempt = r.attempts
        then 'an end that the completion pins' else 'stream_ended, or an end that rank 0 of the next attempt pins' end
    else 'seq ' || p.last_seq || ', link ' || p.chain_head end as expected,
  coalesce('seq ' || s.last_seq || ', link ' || s.link_after, 'no such stream') as actual
from (select * from streams where role is distinct from 'verify'
  or stream in (select stream from stream_pins where pinned_by_role = 'complete')) as s
full join (select * from stream_pins where pinned_by_role = 'complete' or not starts_with(stream, 'v.')) as p
  on p.stream = s.stream
cross join progress as r
where case
  when p.stream is not null and (s.last_seq is distinct from p.last_seq or s.link_after is distinct from p.chain_head)
    then true
  when s.role = 'verify' then false
  when exists (select 1 from stream_pins as z where z.stream = coalesce(s.stream, p.stream) and z.pinned_by_rank = 0)
    then false
  when s.role = 'complete' then r.finished and not coalesce(s.ended_seq = s.last_seq, false)
  when r.finished and s.attempt = r.attempts then true
  else not coalesce(s.ended_seq = s.last_seq, false) and (r.finished or s.attempt is distinct from r.attempts)
    and not coalesce(not r.finished and s.attempt > r.attempts, false)
  end
