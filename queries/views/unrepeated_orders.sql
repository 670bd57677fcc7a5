-- name: unrepeated_orders
-- about: The order of the plan, if nothing may come twice in one pass of it.
select order_kind, order_name from sampling_plan where may_repeat = 'nothing'
