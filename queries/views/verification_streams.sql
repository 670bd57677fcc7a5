-- name: verification_streams
-- about: Every stream that verifies: it began a pass (`verification_id`, null: it did not), or a batch or an end of one
--   was recorded there.
select o.stream, s.verification_id
from stream_opened as o
left join verification_started as s on s.stream = o.stream
where o.role = 'verify' and o.seq = 0 and (s.seq is not null
  or exists (select 1 from batch_replayed as b where b.stream = o.stream)
  or exists (select 1 from verification_completed as c where c.stream = o.stream))
