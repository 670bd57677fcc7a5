-- name: drawn_sequences
-- about: Each sequence that training drew, trained on or skipped, with its position in the run's consumption.
select d.sequence_id, d.first_position + (d.place - 1)::hugeint * d.stride as position, d.step, d.micro_step, d.attempt,
  d.rank, d.stream, d.seq, d.skipped
from (
  select unnest(sequence_ids) as sequence_id, generate_subscripts(sequence_ids, 1) as place, stride,
    least(first_position, 4611686018427387904)::hugeint as first_position, step, micro_step, attempt, rank, stream, seq,
    skipped
  from drawn_batches
) as d
