-- name: verification_agrees_with_training
-- law: Each verification pass equals training batch by batch: positions, sequences, token counts and digests.
-- family: replay
-- level: accounted
-- over: verification_streams
-- applies: verifications_at_stake
select v.verification_id || ' position ' || v.first_position as subject, coalesce(v.seq, v.train_seq) as event_seq,
  coalesce(v.stream, v.train_stream) as stream,
  coalesce('step ' || v.step || ' with tokens ' || lower(hex(v.train_token_sha256)), 'no batch in training') as expected,
  coalesce('tokens ' || lower(hex(v.token_sha256)), 'no batch in the verification')
    || case when v.token_sha256 = v.train_token_sha256 then ', in another order or count' else '' end as actual
from verification_batches as v
join verification_passes as p on p.verification_id = v.verification_id
where v.superseded is distinct from true and v.equal is distinct from true
  and (v.seq is not null or p.completed_seq is not null)
union all
select stream, cast(null as bigint), stream, 'a pass that was begun', 'its batches, and no verification_started'
from verification_streams
where verification_id is null
