-- name: target_divisors
-- about: The plan's loss divisor, if it is the target tokens.
select loss_divisor from sampling_plan where loss_divisor = 'target_tokens'
