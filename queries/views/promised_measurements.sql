-- name: promised_measurements
-- about: Every evaluation with every declared set; a finished run has evaluated the weights at its horizon. The last
--   evaluation of an unfinished run may still be under way.
select v.evaluation_id, v.step, v.stream, v.seq, s.split_name, s.split_kind, s.source_family_id,
  s.first_sequence_id, s.end_sequence_id, t.target_tokens
from (
  select evaluation_id, min(step) as step, min(stream) as stream, max(attempt) as attempt, max(seq) as seq
  from measurements group by evaluation_id
  union all
  select 'evaluation at step ' || horizon_steps, horizon_steps, null, null, null
  from progress
  where finished and horizon_steps is not null
    and not exists (select 1 from measurements as m where m.step = horizon_steps)
) as v
cross join evaluation_sets as s
cross join progress as r
left join (
  select e.split_name, e.source_family_id, try_cast(sum(i.tokens::bigint - 1) as bigint) as target_tokens
  from evaluation_sets as e
  join sequence_index as i on i.sequence_id >= e.first_sequence_id and i.sequence_id < e.end_sequence_id
  group by e.split_name, e.source_family_id
) as t on t.split_name = s.split_name and t.source_family_id = s.source_family_id
where r.finished or v.attempt < r.attempts or v.seq < (select max(seq) from measurements where attempt = r.attempts)
