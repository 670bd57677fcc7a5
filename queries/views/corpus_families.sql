-- name: corpus_families
-- about: The source families of the corpus and the sources bound to each.
select b.source_family_id, b.source_ids
from (
  select unnest(from_json(document -> '$.source_family_bindings',
    '[{"source_family_id":"VARCHAR","source_ids":["VARCHAR"]}]'), recursive := true)
  from tokenized_corpus
) as b
