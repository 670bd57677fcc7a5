-- name: family_consumption
-- about: What training consumed of each family, from the batches' own token counts.
-- materialise: true
select f.source_family_id, try_cast(sum(f.tokens) as bigint) as tokens
from (
  select unnest(b.family_tokens, recursive := true)
  from train_batches as b
  cross join progress as r
  where r.finished or b.step <= r.due_step
) as f
group by f.source_family_id
