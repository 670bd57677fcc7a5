-- name: evaluation_content_is_isolated
-- law: No sequence that was trained on has the tokens of an evaluation sequence, or a document of one in it.
-- family: coverage
-- level: accounted
-- over: evaluation_sequences
-- applies: evaluation_sequences
select subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream, 'never trained on' as expected, actual
from (
  select 'sequence ' || h.sequence_id || ' of ' || h.split_name as subject,
    'its tokens stand in sequence ' || u.sequence_id || ', trained on at step ' || u.first_step as actual
  from evaluation_sequences as h
  join sequence_index as i on i.token_sha256 = h.token_sha256
  join sequence_uses as u on u.sequence_id = i.sequence_id and not u.skipped
  union all
  select 'document ' || d.document_id || ' of ' || d.source_id,
    'in sequence ' || min(u.sequence_id) || ', trained on at step ' || min(u.first_step)
  from (
    select distinct h.source_id, h.document_id
    from sequence_documents as h
    join evaluation_sequences as s on s.sequence_id = h.sequence_id
  ) as d
  join sequence_documents as t on t.source_id = d.source_id and t.document_id = d.document_id
  join sequence_uses as u on u.sequence_id = t.sequence_id and not u.skipped
  group by d.source_id, d.document_id
)
union all
select 'step ' || step, seq, stream, expected, actual from undrawn_steps
