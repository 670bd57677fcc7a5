-- name: stage_is_pretrain
-- law: The one promised stage is a pretrain stage, under the id that its run and place give it, and it is the stage that was started.
-- family: stage
-- level: accounted
-- over: stage_config
-- applies: declared_stages
select coalesce(c.stage_id, s.stage_id, 'null') as subject, coalesce(s.seq, c.seq) as event_seq, coalesce(s.stream, c.stream) as stream,
  'pretrain ' || coalesce(c.run_id, 'null') || '-stage-1-pretrain, ordinal 1' as expected,
  coalesce(c.stage_kind, 'null') || ' ' || coalesce(c.stage_id, 'null') || '; started: '
    || coalesce(s.stage_kind || ' ' || s.stage_id || ', ordinal ' || s.ordinal, 'nothing') as actual
from stage_config as c
left join stages as s on true
left join contracts as d on d.role = 'stage_config'
cross join progress as r
where c.stage_kind is distinct from 'pretrain'
  or c.stage_id is distinct from c.run_id || '-stage-1-pretrain'
  or (s.stage_id is null and r.attempts > 0)
  or (s.stage_id is not null and (s.stage_kind is distinct from 'pretrain' or s.stage_id is distinct from c.stage_id
    or s.ordinal is distinct from 1 or s.config_sha256 is distinct from d.sha256))
