-- name: promised_positions
-- about: The positions of the promised steps, one row each. Where far more are promised than were drawn, the first ten
--   thousand that are missing stand for the rest.
select unnest(range(cast(least(
  coalesce((select count(*) from promised_steps)::hugeint * (select global_batch_sequences from sampling_plan), 0),
  (select coalesce(sum(len(sequence_ids)), 0) + 10000 from drawn_batches)) as bigint))) as position
