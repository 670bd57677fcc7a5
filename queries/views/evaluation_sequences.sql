-- name: evaluation_sequences
-- about: The sequences that are kept for evaluation, of every split but train: training must never see them.
select i.sequence_id, i.split_name, i.source_family_id, i.token_sha256
from sequence_index as i
join plan_families as p on p.split_name = i.split_name and p.source_family_id = i.source_family_id
where p.split_kind <> 'train'
