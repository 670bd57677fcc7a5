-- name: corpus_splits
-- about: The splits that the corpus promises, with their sequences and tokens.
select s.split_name, s.kind as split_kind, s.source_family_ids,
  try_cast(s.sequence_count as bigint) as sequences, try_cast(s.token_count as bigint) as tokens
from (
  select unnest(from_json(document -> '$.splits',
    '[{"split_name":"VARCHAR","kind":"VARCHAR","source_family_ids":["VARCHAR"],"sequence_count":"UBIGINT","token_count":"UBIGINT"}]'
  ), recursive := true)
  from tokenized_corpus
) as s
