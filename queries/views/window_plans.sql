-- name: window_plans
-- about: The plan, if its sequences are windows over the tokens of a family. No row: they are rows of an index, or known
--   by their content alone.
select unit, sequence_tokens from sampling_plan where unit = 'window'
