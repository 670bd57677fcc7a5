-- name: indexed_plans
-- about: The plan, if its sequences are rows of an index. No row: they are windows, or known by their content alone.
select unit from sampling_plan where unit = 'sequence' or unit is null
