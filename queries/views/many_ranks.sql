-- name: many_ranks
-- about: The attempts that promised more than one rank.
select attempt, world_size from attempts where world_size > 1
