-- name: code_share_is_within_policy
-- law: Code has no more of a finished run's training tokens than the policy's maximum, but for one sequence of rounding.
-- family: coverage
-- level: accounted
-- over: sampling_policy
-- applies: code_families
select coalesce(p.policy_id, 'null') as subject, p.seq as event_seq, p.stream,
  'at most ' || coalesce(cast(p.maximum_code_token_ratio_bps as varchar), 'null') || ' bps of ' || c.tokens || ' tokens' as expected,
  c.code_tokens || ' tokens of code' || case when c.unclassed > 0 then ', ' || c.unclassed || ' tokens of no class' else '' end
    as actual
from sampling_policy as p
cross join sampling_plan as q
cross join (
  select sum(f.tokens) as tokens, coalesce(sum(f.tokens) filter (w.content_class = 'code'), 0) as code_tokens,
    coalesce(sum(f.tokens) filter (w.content_class is null), 0) as unclassed
  from family_consumption as f
  left join family_weights as w on w.source_family_id = f.source_family_id
) as c
cross join progress as r
where r.finished and c.tokens is not null
  and not coalesce(c.unclassed = 0 and (c.code_tokens::hugeint - coalesce(q.sequence_tokens, 0)) * 10000 <= c.tokens * p.maximum_code_token_ratio_bps, false)
union all
select 'step ' || u.step, u.seq, u.stream, u.expected, u.actual
from undrawn_steps as u
cross join progress as r
where r.finished
