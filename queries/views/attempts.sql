-- name: attempts
-- about: Each start of training. Steps above `kept_through_step` were superseded by a later attempt
--   (all of them, when it began from nothing).
select a.attempt, a.launch_id, a.checkpoint_id, a.cut_step, a.cursor_position, a.world_size, a.stream, a.seq,
  coalesce(min(case when later.attempt is null then null when later.checkpoint_id is null then -1
    else later.cut_step end), 9223372036854775807)
    as kept_through_step
from attempt_started as a
left join attempt_started as later on later.attempt > a.attempt and later.rank = 0 and later.role = 'train'
where a.rank = 0 and a.role = 'train'
group by a.attempt, a.launch_id, a.checkpoint_id, a.cut_step, a.cursor_position, a.world_size, a.stream, a.seq
