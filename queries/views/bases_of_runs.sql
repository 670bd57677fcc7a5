-- name: bases_of_runs
-- about: The base, if another run promoted it. No row: the run begins from nothing, or from foreign weights.
select checkpoint_id, run_id, receipt_sha256 from base_checkpoint where run_id is not null
