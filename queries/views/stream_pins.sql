-- name: stream_pins
-- about: Where each stream had ended, as rank 0 of the next attempt found it, and for its own predecessor each other rank.
select p.stream, p.last_seq, lower(hex(p.chain_head)) as chain_head,
  o.stream as pinned_by, o.attempt as pinned_in, o.rank as pinned_by_rank
from (select stream, attempt, rank, unnest(previous) as p from stream_opened where role = 'train') as o
