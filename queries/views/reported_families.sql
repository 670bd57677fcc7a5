-- name: reported_families
-- about: Every pair of split and source family that a report speaks of: those of the corpus, without one those of the plan.
select split_name, split_kind, source_family_id from split_families
union all
select split_name, split_kind, source_family_id from plan_families where not exists (select * from split_families)
