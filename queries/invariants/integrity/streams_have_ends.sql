-- name: streams_have_ends
-- law: Each train stream ends with run_finished, or at the very event where rank 0 of the next attempt found it.
-- family: integrity
-- level: intact
-- over: streams
select coalesce(s.stream, p.stream) as subject, coalesce(s.last_seq, p.last_seq) as event_seq,
  coalesce(s.stream, p.stream) as stream,
  case when p.stream is null or (s.last_seq = p.last_seq and s.link_after = p.chain_head)
      then 'run_finished, or an end that rank 0 of the next attempt pins'
    else 'seq ' || p.last_seq || ', link ' || p.chain_head end as expected,
  coalesce('seq ' || s.last_seq || ', link ' || s.link_after, 'no such stream') as actual
from (select * from streams where role is distinct from 'verify') as s
full join (select * from stream_pins where not starts_with(stream, 'v.')) as p on p.stream = s.stream
cross join progress as r
where case
  when p.stream is not null and (s.last_seq is distinct from p.last_seq or s.link_after is distinct from p.chain_head)
    then true
  when exists (select 1 from stream_pins as z where z.stream = coalesce(s.stream, p.stream) and z.pinned_by_rank = 0)
    then false
  else not coalesce(s.finished_seq = s.last_seq, false) and (r.finished or s.attempt is distinct from r.attempts)
    and not coalesce(not r.finished and s.attempt > r.attempts, false)
  end
order by subject, p.pinned_by
