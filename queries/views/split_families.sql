-- name: split_families
-- about: Every pair of split and source family that the corpus promises, and the family's sources.
select s.split_name, s.split_kind, f.source_family_id, b.source_ids
from corpus_splits as s, unnest(s.source_family_ids) as f (source_family_id)
left join corpus_families as b on b.source_family_id = f.source_family_id
