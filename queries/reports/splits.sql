-- name: splits
-- about: Splits and families: what training consumed of train, what was measured of the others, their shares, and
--   the loss of the promoted weights in nats per target token.
select p.split_name, p.source_family_id, h.sequences, h.tokens, h.token_share_bps, h.sequence_share_bps, f.loss_nats
from reported_families as p
left join split_shares as h on h.split_name = p.split_name and h.source_family_id = p.source_family_id
left join final_split_loss as f on f.split_name = p.split_name and f.source_family_id = p.source_family_id
order by p.split_kind = 'train' desc, p.split_name, p.source_family_id
