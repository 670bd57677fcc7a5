-- name: completion_streams
-- about: The streams in which the run is completed, in order of their numbers.
select stream, attempt, try_cast(split_part(stream, '.', 2) as bigint) as number
from stream_opened
where role = 'complete' and seq = 0
