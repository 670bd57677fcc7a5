-- name: splits
-- about: Splits and families: what training consumed of train, what was measured of the others, their shares, and
--   the loss of the promoted weights in nats per target token. Without a corpus the plan says which there are.
with pairs as (
  select split_name, split_kind, source_family_id from split_families
  union all
  select split_name, split_kind, source_family_id from plan_families where not exists (select * from split_families)
),
amounts as (
  select p.*, f.loss_nats,
    case when p.split_kind = 'train' then c.tokens else f.target_tokens end as tokens,
    case when p.split_kind = 'train' then s.sequences else f.sequences end as sequences
  from pairs as p
  left join family_consumption as c on c.source_family_id = p.source_family_id
  left join family_sequences as s on s.source_family_id = p.source_family_id and s.split_name = p.split_name
  left join final_split_loss as f on f.split_name = p.split_name and f.source_family_id = p.source_family_id
)
select a.split_name, a.source_family_id, a.sequences, a.tokens,
  coalesce(h.token_share_bps, try_cast(a.tokens::hugeint * 10000
    // nullif(sum(a.tokens) over (partition by a.split_name), 0) as bigint)) as token_share_bps,
  coalesce(h.sequence_share_bps, try_cast(a.sequences::hugeint * 10000
    // nullif(sum(a.sequences) over (partition by a.split_name), 0) as bigint)) as sequence_share_bps,
  a.loss_nats
from amounts as a
left join split_shares as h on h.split_name = a.split_name and h.source_family_id = a.source_family_id
order by a.split_kind = 'train' desc, a.split_name, a.source_family_id
