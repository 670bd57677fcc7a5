-- name: verification_batches
-- about: Each verification pass held against training, batch by batch; one side is null where the other has no such
--   batch. `superseded`: a later attempt took the batch's step anew, so there is nothing to hold it against. What a
--   pass over a sample left out is not listed.
-- materialise: true
with passes as (
  select v.verification_id, v.first_step, v.end_step, v.sample_bps, v.stream,
    coalesce(a.kept_through_step, 9223372036854775807) as kept_through_step
  from verification_started as v
  left join attempts as a on a.attempt = v.attempt
),
expected as (
  select v.verification_id, v.sample_bps, b.step, b.first_position, b.end_position, b.stride, b.sequences, b.sequence_ids,
    b.sequence_sha256s, b.tokens, b.target_tokens, b.token_sha256, b.family_tokens, b.stream, b.seq
  from drawn_batches as b
  join passes as v on b.step >= v.first_step and b.step < v.end_step and b.step <= v.kept_through_step
),
seen as (
  select b.pass_id as verification_id, b.step, b.first_position, b.stride, b.sequences, b.sequence_ids, b.sequence_sha256s,
    b.tokens, b.target_tokens, b.token_sha256, b.family_tokens, b.stream, b.seq,
    b.step > v.kept_through_step as superseded
  from batch_replayed as b
  join passes as v on v.verification_id = b.pass_id and v.stream = b.stream
  where b.role = 'verify'
)
select coalesce(e.verification_id, s.verification_id) as verification_id,
  coalesce(e.first_position, s.first_position) as first_position, coalesce(e.step, s.step) as step,
  e.stream as train_stream, e.seq as train_seq, s.stream as stream, s.seq as seq,
  coalesce(s.superseded, false) as superseded,
  coalesce(e.step = s.step and e.stride = s.stride and e.sequences = s.sequences and e.sequence_ids = s.sequence_ids
    and e.sequence_sha256s = s.sequence_sha256s and e.tokens = s.tokens and e.target_tokens = s.target_tokens
    and e.token_sha256 = s.token_sha256 and e.family_tokens = s.family_tokens, false) as equal,
  e.token_sha256 as train_token_sha256, s.token_sha256 as token_sha256,
  e.sequence_ids as train_sequence_ids, s.sequence_ids as sequence_ids
from expected as e
full join seen as s on s.verification_id = e.verification_id and s.first_position = e.first_position and not s.superseded
where s.seq is not null or e.sample_bps = 10000
