-- name: unrepeated_orders
-- about: The order of the plan and the length of its passes, if nothing may come twice in one of them.
select order_kind, order_name, nullif(pass_sequences, 0) as pass_sequences from sampling_plan where may_repeat = 'nothing'
