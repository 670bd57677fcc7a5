-- name: source_caps
-- about: The largest share of training tokens that the policy allows each source.
select c.source_id, c.maximum_source_token_share_bps::bigint as maximum_source_token_share_bps
from (
  select unnest(from_json(document -> '$.source_contribution_caps',
    '[{"source_id":"VARCHAR","maximum_source_token_share_bps":"UINTEGER"}]'), recursive := true)
  from sampling_policy
) as c
