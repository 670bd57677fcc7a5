-- name: promised_measurements
-- about: Every evaluation with every declared set; a finished run has evaluated the weights of its last step, where that is
--   promised. The last evaluation of an unfinished run may still be under way.
select v.evaluation_id, v.step, v.stream, v.seq, s.evaluation_set, s.split_name, s.split_kind, s.source_family_id,
  s.first_sequence_id, s.end_sequence_id, s.stride, s.sequences, t.target_tokens
from (
  select evaluation_id, min(step) as step, min(stream) as stream, max(attempt) as attempt, max(seq) as seq
  from measurements group by evaluation_id
  union all
  select 'evaluation at step ' || r.last_step, r.last_step, null, null, null
  from progress as r
  join promised_evaluations as p on p.at_end
  where r.finished and r.last_step is not null
    and not exists (select 1 from measurements as m where m.step = r.last_step)
) as v
cross join evaluation_sets as s
cross join progress as r
left join (
  select e.split_name, e.source_family_id,
    try_cast(sum(case q.targets when 'all_but_first' then i.tokens::bigint - 1 when 'all' then i.tokens end) as bigint)
      as target_tokens
  from evaluation_sets as e
  cross join sampling_plan as q
  join sequence_index as i on i.sequence_id >= e.first_sequence_id and i.sequence_id < e.end_sequence_id
    and (i.sequence_id - e.first_sequence_id) % nullif(e.stride, 0) = 0
  group by e.split_name, e.source_family_id
) as t on t.split_name = s.split_name and t.source_family_id = s.source_family_id
where r.finished or v.attempt < r.attempts or v.seq < (select max(seq) from measurements where attempt = r.attempts)
