-- name: float32_models
-- about: The promised model, if all its tensors are float32: then every update can be seen in its weights.
select m.schema_version
from declared_models as m
join contracts as c on c.role = m.role
where c.document is not null and case
  when m.schema_version = 'psion_ledger.tensor_layout.v1'
    then len(list_filter(from_json(c.document -> '$.tensors', '[{"dtype":"VARCHAR"}]'),
      lambda t: t.dtype is distinct from 'float32')) = 0
  else json_type(c.document -> '$.checkpoint_contract.tensor_layout') = 'ARRAY' end
