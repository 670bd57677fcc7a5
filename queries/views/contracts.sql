-- name: contracts
-- about: The first declaration of each contract. `document` is null for text that is no JSON.
select contract_role as role, schema_version, sha256, stream, attempt, rank, seq,
  case when json_valid(document) then document end as document
from contract_declared
where role = 'train'
qualify row_number() over (partition by contract_role order by attempt, rank, seq) = 1
