-- name: source_consumption
-- about: Training tokens of each source, from the sequences drawn and the documents in them.
-- materialise: true
select d.source_id, d.source_family_id, try_cast(sum(u.uses * d.tokens) as bigint) as tokens
from (
  select sequence_id, sum(uses) as uses from sequence_uses where not skipped group by sequence_id
) as u
join sequence_documents as d on d.sequence_id = u.sequence_id
group by d.source_id, d.source_family_id
