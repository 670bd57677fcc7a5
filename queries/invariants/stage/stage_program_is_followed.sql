-- name: stage_program_is_followed
-- law: A run that trains has started its stage, and every stage event is a transition of the stage program, with the digest it gives.
-- family: stage
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select code as subject, event_seq, stream, 'a transition of the stage program' as expected, message as actual
from stage_refusals
union all
select 'stage_started', null, null, 'a transition of the stage program', 'an attempt was started, and no stage'
from progress
where attempts > 0 and not exists (select 1 from stages)
