-- name: every_split_family_is_reported
-- law: Each split and family that the corpus promises is measured once on the promoted weights, and nothing else is.
-- family: coverage
-- level: accounted
-- over: split_families
-- applies: declared_corpora
select coalesce(p.split_name, f.split_name, 'null') || ' ' || coalesce(p.source_family_id, f.source_family_id, 'null') as subject,
  f.seq as event_seq, f.stream,
  case when p.split_name is null then 'no such pair in the corpus' else '1 measurement, kind ' || coalesce(p.split_kind, 'null') end as expected,
  coalesce(f.measured || ' measurements, ' || coalesce('kind ' || f.split_kind, 'of no kind'), '0 measurements') as actual
from split_families as p
full join (
  select split_name, source_family_id, min(split_kind) as split_kind, count(*) as measured, max(seq) as seq,
    max(stream) as stream
  from final_split_loss group by split_name, source_family_id
) as f on f.split_name = p.split_name and f.source_family_id = p.source_family_id
cross join progress as r
where (r.finished or f.split_name is not null)
  and (p.split_name is null or f.measured is distinct from 1 or f.split_kind is distinct from p.split_kind)
