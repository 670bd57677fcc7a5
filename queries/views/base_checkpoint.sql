-- name: base_checkpoint
-- about: The weights that the run begins with, as promised, and the run that promoted them (null: they are foreign). No
--   row: the run begins from nothing.
select document ->> '$.checkpoint_id' as checkpoint_id, document ->> '$.object_sha256' as object_sha256,
  document ->> '$.run.run_id' as run_id, document ->> '$.run.receipt_sha256' as receipt_sha256, stream, seq
from contracts where role = 'base_checkpoint'
