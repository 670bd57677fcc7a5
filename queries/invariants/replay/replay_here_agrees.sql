-- name: replay_here_agrees
-- law: Each effective batch is the one that this audit derived from the contracts and the corpus.
-- family: replay
-- level: replayed
-- over: replay_here
-- needs: replay_here
select 'position ' || coalesce(b.first_position, h.first_position) as subject, b.seq as event_seq, b.stream,
  coalesce('step ' || h.step || ' with tokens ' || lower(hex(h.token_sha256)), 'no such batch') as expected,
  coalesce('step ' || b.step || ' with tokens ' || lower(hex(b.token_sha256)), 'no batch')
    || case when b.token_sha256 = h.token_sha256 then ', in another order or count' else '' end as actual
from drawn_batches as b
full join replay_here as h on h.first_position = b.first_position and h.step = b.step
cross join progress as r
where (r.finished or h.step is not null or b.step <= r.due_step)
  and not coalesce(b.stride = h.stride and b.sequences = h.sequences and b.sequence_ids = h.sequence_ids and b.tokens = h.tokens
  and b.target_tokens = h.target_tokens
  and b.token_sha256 = h.token_sha256 and b.family_tokens = h.family_tokens, false)
