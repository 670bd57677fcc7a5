-- name: many_ranks
-- about: One row when the run promised more than one rank.
select world_size from run_started where role = 'train' and world_size > 1
