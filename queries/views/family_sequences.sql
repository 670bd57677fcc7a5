-- name: family_sequences
-- about: What training drew of each family, from the sequence ids and the sequence index.
select i.source_family_id, i.split_name,
  try_cast(sum(u.uses) as bigint) as draws,
  try_cast(sum(u.uses) filter (not u.skipped) as bigint) as sequences,
  try_cast(sum(u.uses * i.tokens) filter (not u.skipped) as bigint) as tokens
from sequence_uses as u
join sequence_index as i on i.sequence_id = u.sequence_id
group by i.source_family_id, i.split_name
