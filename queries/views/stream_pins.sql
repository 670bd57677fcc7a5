-- name: stream_pins
-- about: Where each stream of an attempt had ended, as the streams of the next attempt found it.
select p.stream, p.last_seq, lower(hex(p.chain_head)) as chain_head, o.stream as pinned_by, o.attempt as pinned_in
from (select stream, attempt, unnest(previous) as p from stream_opened where role = 'train') as o
