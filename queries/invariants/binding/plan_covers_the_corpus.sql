-- name: plan_covers_the_corpus
-- law: The plan's families hold exactly the sequences and tokens that the corpus counts in each split.
-- family: binding
-- level: accounted
-- over: corpus_splits
-- applies: declared_corpora
select coalesce(s.split_name, 'null') as subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream,
  coalesce(s.sequences || ' sequences, ' || s.tokens || ' tokens', 'null') as expected,
  coalesce(p.sequences || ' sequences, ' || p.tokens || ' tokens', 'not planned') as actual
from corpus_splits as s
left join (
  select split_name, sum(sequences) as sequences, sum(tokens) as tokens from plan_families group by split_name
) as p on p.split_name = s.split_name
cross join progress as r
where r.attempts > 0 and (s.sequences is null or s.tokens is null
  or p.sequences is distinct from s.sequences or p.tokens is distinct from s.tokens)
