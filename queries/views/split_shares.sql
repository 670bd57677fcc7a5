-- name: split_shares
-- about: The share of each family in its split, in basis points, by largest remainder: they sum to 10,000 exactly.
-- materialise: true
with parts as (
  select split_name, split_kind, source_family_id, tokens, sequences,
    tokens::hugeint * 10000 // nullif(sum(tokens) over split, 0) as token_bps,
    tokens::hugeint * 10000 % nullif(sum(tokens) over split, 0) as token_rest,
    sequences::hugeint * 10000 // nullif(sum(sequences) over split, 0) as sequence_bps,
    sequences::hugeint * 10000 % nullif(sum(sequences) over split, 0) as sequence_rest
  from split_amounts
  window split as (partition by split_name)
)
select split_name, split_kind, source_family_id, tokens, sequences,
  cast(token_bps + case when row_number() over (partition by split_name order by token_rest desc, source_family_id)
    <= 10000 - sum(token_bps) over (partition by split_name) then 1 else 0 end as bigint) as token_share_bps,
  cast(sequence_bps + case when row_number() over (partition by split_name order by sequence_rest desc, source_family_id)
    <= 10000 - sum(sequence_bps) over (partition by split_name) then 1 else 0 end as bigint) as sequence_share_bps
from parts
