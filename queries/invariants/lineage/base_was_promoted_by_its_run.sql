-- name: base_was_promoted_by_its_run
-- law: The base is the checkpoint that the other run's recorded receipt promotes, and its ledger gives that receipt.
-- family: lineage
-- level: accounted
-- over: base_run
-- applies: bases_of_runs
-- needs: base_run
select subject, cast(null as bigint) as event_seq, cast(null as varchar) as stream, expected, actual
from base_run
where actual is distinct from expected
