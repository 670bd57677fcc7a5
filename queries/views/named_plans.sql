-- name: named_plans
-- about: The plan, if its sequences have ids. No row: they are known by their content alone.
select unit from sampling_plan where unit is distinct from 'content'
