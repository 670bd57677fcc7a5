-- name: stage_names_its_run
-- law: The stage config names the run whose ledger it stands in.
-- family: stage
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select coalesce(c.stage_id, 'null') as subject, c.seq as event_seq, c.stream, r.run_id as expected, coalesce(c.run_id, 'null') as actual
from stage_config as c
cross join run_identity as r
where c.run_id is distinct from r.run_id
