-- name: model_descriptor
-- about: The promised model, one row.
select document ->> '$.model.model_id' as model_id,
  document ->> '$.size_anchor' as size_anchor,
  try_cast(document ->> '$.config.max_context' as bigint) as max_context_tokens,
  try_cast(document ->> '$.config.vocab_size' as bigint) as vocab_size,
  try_cast(document ->> '$.parameter_count_estimate' as bigint) as parameters,
  document ->> '$.tokenizer_binding.tokenizer_id' as tokenizer_id,
  document ->> '$.tokenizer_binding.tokenizer_digest' as tokenizer_digest,
  document ->> '$.checkpoint_contract.checkpoint_file_name' as checkpoint_file_name,
  document ->> '$.checkpoint_contract.tensor_layout_digest' as tensor_layout_digest,
  stream, seq
from contracts where role = 'model_descriptor'
