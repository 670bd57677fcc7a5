-- name: attempts_resume_from_written_checkpoints
-- law: Each stream that trains says from where; each attempt after the first resumes at the step and cursor of a checkpoint that an earlier one wrote, and loads it as written if it trains; one that begins from nothing, or from the promised base, had none to load.
-- family: lineage
-- level: accounted
-- over: train_streams
select 'attempt ' || a.attempt as subject, a.seq as event_seq, a.stream,
  case when o.stream is not null and coalesce(e.written, 0) = 0
      then 'the base: weights ' || coalesce(o.object_sha256, 'null') || ', step 0, position 0'
    when a.attempt = 1 then 'no checkpoint, step 0, position 0'
    when a.checkpoint_id is null then 'a checkpoint: ' || e.written || ' had been written'
    else 'weights ' || coalesce(lower(hex(c.object_sha256)), 'never written') || ', step '
      || coalesce(cast(c.step as varchar), 'null') || ', position ' || coalesce(cast(c.cursor_position as varchar), 'null')
  end as expected,
  coalesce(a.checkpoint_id, 'no checkpoint') || ': weights ' || coalesce(lower(hex(l.object_sha256)), 'not loaded')
    || ', step ' || a.cut_step || ', position ' || a.cursor_position as actual
from attempts as a
left join checkpoints as c on c.checkpoint_id = a.checkpoint_id and c.attempt < a.attempt
left join checkpoint_loaded as l on l.checkpoint_id = a.checkpoint_id and l.stream = a.stream
left join (
  select later.attempt, count(*) as written
  from attempts as later
  join checkpoint_written as w on w.attempt < later.attempt
  group by later.attempt
) as e on e.attempt = a.attempt
left join (select attempt from batch_rollup group by attempt) as b on b.attempt = a.attempt
left join base_checkpoint as o on true
where case
  when o.stream is not null and coalesce(e.written, 0) = 0
    then a.checkpoint_id is distinct from o.checkpoint_id or a.cut_step is distinct from 0
      or a.cursor_position is distinct from 0
      or ((l.seq is not null or b.attempt is not null) and lower(hex(l.object_sha256)) is distinct from o.object_sha256)
  when a.checkpoint_id is null then a.cut_step is distinct from 0 or a.cursor_position is distinct from 0
    or coalesce(e.written, 0) > 0
  else c.checkpoint_id is null or c.step is distinct from a.cut_step
    or c.cursor_position is distinct from a.cursor_position
    or ((l.seq is not null or b.attempt is not null) and l.object_sha256 is distinct from c.object_sha256)
  end
union all
select 'stream ' || stream, cast(null as bigint), stream, 'attempt_started before it trains', 'training, and no attempt_started'
from train_streams
where started_seq is null
