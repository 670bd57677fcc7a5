-- name: verifications_count_themselves
-- law: What a completed verification says of itself is what its batches show, and it read the declared corpus.
-- family: replay
-- level: accounted
-- over: verification_streams
-- applies: verifications_at_stake
select p.verification_id as subject, p.completed_seq as event_seq, p.stream,
  p.batches || ' batches, ' || p.batches_unequal || ' mismatches, corpus ' || coalesce(d.corpus_digest, 'null') as expected,
  coalesce(p.batches_claimed || ' batches, ' || p.mismatches_claimed || ' mismatches', 'null') || ', corpus '
    || lower(hex(p.corpus_digest)) as actual
from verification_passes as p
left join derived_digests as d on true
where p.completed_seq is not null
  and (p.batches_claimed is distinct from p.batches
    or (p.mismatches_claimed is distinct from p.batches_unequal and p.batches_superseded is not distinct from 0)
    or lower(hex(p.corpus_digest)) is distinct from d.corpus_digest)
union all
select stream, cast(null as bigint), stream, 'a pass that was begun', 'its batches, and no verification_started'
from verification_streams
where verification_id is null
