-- name: completed_stages
-- about: The stages that have been completed.
select * from stages where completed_seq is not null
