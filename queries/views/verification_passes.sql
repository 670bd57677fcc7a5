-- name: verification_passes
-- about: The verification passes. `exact`: complete, over every effective batch, and equal in each; `differs`: some
--   batch is not. A pass that was aborted, that took a sample, or of whose steps some were superseded is not exact.
select v.verification_id, v.method, v.first_step, v.end_step, v.sample_bps, v.corpus_digest, v.stream, v.seq,
  c.seq as completed_seq, c.batches as batches_claimed, c.mismatches as mismatches_claimed,
  coalesce(b.batches_seen, 0) as batches, coalesce(b.batches_unequal, 0) as batches_unequal,
  coalesce(b.batches_superseded, 0) as batches_superseded,
  coalesce(c.seq is not null and v.sample_bps = 10000 and v.method = 'content'
    and v.first_step = 1 and v.end_step > (select coalesce(max(step), 0) from drawn_batches)
    and b.batches_seen > 0 and b.batches_unequal = 0 and b.batches_superseded = 0, false) as exact,
  coalesce(b.batches_differing > 0 or (c.seq is not null and b.batches_unequal > 0), false) as differs
from verification_started as v
left join verification_completed as c on c.verification_id = v.verification_id and c.stream = v.stream
left join (
  select verification_id, count(seq) as batches_seen, count(*) filter (superseded) as batches_superseded,
    count(*) filter (not equal and not superseded) as batches_unequal,
    count(*) filter (not equal and not superseded and seq is not null) as batches_differing
  from verification_batches group by verification_id
) as b on b.verification_id = v.verification_id
