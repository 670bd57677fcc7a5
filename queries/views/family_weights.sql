-- name: family_weights
-- about: How often the policy draws each training family, in slots of a cycle of 10,000, and its cap.
select w.source_family_id, w.content_class,
  w.sampling_weight_bps::bigint as sampling_weight_bps, w.maximum_family_token_share_bps::bigint as maximum_family_token_share_bps
from (
  select unnest(from_json(document -> '$.source_family_weights',
    '[{"source_family_id":"VARCHAR","content_class":"VARCHAR","sampling_weight_bps":"UINTEGER","maximum_family_token_share_bps":"UINTEGER"}]'
  ), recursive := true)
  from sampling_policy
) as w
