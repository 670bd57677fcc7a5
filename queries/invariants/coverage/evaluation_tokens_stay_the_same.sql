-- name: evaluation_tokens_stay_the_same
-- law: A declared set has the same tokens in each evaluation.
-- family: coverage
-- level: accounted
-- over: evaluation_sets
-- applies: evaluations_at_stake
select e.evaluation_id || ' ' || e.split_name || ' ' || e.source_family_id as subject, e.seq as event_seq, e.stream,
  'tokens ' || lower(hex(f.token_sha256)) || ', as in ' || f.evaluation_id as expected,
  'tokens ' || lower(hex(e.token_sha256)) as actual
from measurements as e
join evaluation_sets as s on s.split_name = e.split_name and s.source_family_id = e.source_family_id
  and s.stride is not null
join first_measurements as f on f.split_name = e.split_name and f.source_family_id = e.source_family_id
where e.token_sha256 is distinct from f.token_sha256
union all
select p.evaluation_id || ' ' || coalesce(p.split_name, 'null') || ' ' || coalesce(p.source_family_id, 'null'), p.seq,
  p.stream, 'its tokens', 'not measured'
from promised_measurements as p
left join measurements as m on m.evaluation_id = p.evaluation_id and m.split_name = p.split_name
  and m.source_family_id = p.source_family_id
where m.seq is null
