-- name: stream_pins
-- about: Where each stream had ended, as rank 0 of the next attempt found it, for its own predecessor each other rank, and
--   a completion stream for all that it rests on.
select p.stream, p.last_seq, lower(hex(p.chain_head)) as chain_head,
  o.stream as pinned_by, o.role as pinned_by_role, o.attempt as pinned_in, o.rank as pinned_by_rank
from (
  select stream, role, attempt, rank, unnest(previous) as p from stream_opened where role in ('train', 'complete')
) as o
