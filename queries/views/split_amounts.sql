-- name: split_amounts
-- about: Tokens and sequences of each pair of split and family: of train as consumed, of the other splits as measured.
select p.split_name, p.split_kind, p.source_family_id,
  case when p.split_kind = 'train' then c.tokens else f.target_tokens end as tokens,
  case when p.split_kind = 'train' then s.sequences else f.sequences end as sequences
from reported_families as p
left join family_consumption as c on c.source_family_id = p.source_family_id
left join family_sequences as s on s.source_family_id = p.source_family_id and s.split_name = p.split_name
left join final_split_loss as f on f.split_name = p.split_name and f.source_family_id = p.source_family_id
