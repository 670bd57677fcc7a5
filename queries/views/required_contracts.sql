-- name: required_contracts
-- about: The contracts that a run declares before its first batch: a plan, and the index of the sequences that it names, or of
--   the documents that its windows are cut from;
--   where a stage is promised, started or received, all that it binds.
select n.role
from (
  values ('sampling_plan', false), ('sequence_index', false), ('document_index', false),
    ('stage_config', true), ('model_descriptor', true),
    ('tokenized_corpus', true), ('sampling_policy', true)
) as n (role, of_stage)
where (not n.of_stage or exists (select * from declared_stages) or exists (select * from stage_started)
    or exists (select * from receipt_recorded))
  and (n.role <> 'sequence_index' or exists (select * from indexed_plans) or not exists (select * from sampling_plan))
  and (n.role <> 'document_index' or exists (select * from window_plans))
