-- name: promised_positions
-- about: The positions of the promised steps and of what was skipped on the way, one row each. Where far more are promised
--   than were drawn, the first ten thousand that are missing stand for the rest.
select unnest(range(cast(least(
  coalesce(
    (select max(first_position + sequences::hugeint) from planned_steps),
    (select sum(positions) from batch_rollup where not exists (select * from batch_schedule)), 0),
  (select coalesce(sum(len(sequence_ids)), 0) + 10000 from drawn_batches)) as bigint))) as position
