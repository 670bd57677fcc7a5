-- name: stage_program_is_followed
-- law: Every stage event is a transition that the stage program has, with the digest it gives.
-- family: stage
-- level: accounted
-- over: stages
select code as subject, event_seq, stream, 'a transition of the stage program' as expected, message as actual
from stage_refusals
order by stream, event_seq
