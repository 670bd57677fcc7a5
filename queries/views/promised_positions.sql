-- name: promised_positions
-- about: The positions of the promised steps, one row each.
select unnest(range(cast(coalesce((select count(*) from promised_steps) * (select global_batch_sequences from sampling_plan), 0) as bigint)))
  as position
