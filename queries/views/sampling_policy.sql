-- name: sampling_policy
-- about: The promised sampling policy, one row.
select document ->> '$.policy_id' as policy_id,
  document ->> '$.policy_version' as policy_version,
  document ->> '$.dataset_identity' as dataset_identity,
  try_cast(document ->> '$.maximum_code_token_ratio_bps' as uinteger)::bigint as maximum_code_token_ratio_bps,
  document, stream, seq
from contracts where role = 'sampling_policy'
