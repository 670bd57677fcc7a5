-- name: declared_orders
-- about: The order of the plan and its seed: of one in files the first 8 bytes of the digest of their list, as a
--   little-endian number. No row: no order is declared, or no corpus whose replay contract has a seed.
select p.order_kind, p.order_name, p.order_version,
  case p.order_kind when 'derived' then p.order_seed
    else try_cast('0x' || array_to_string(list_reverse(list_transform(range(8), lambda i: substr(lower(hex(c.sha256)), i * 2 + 1, 2))), '')
      as ubigint) end as order_seed
from sampling_plan as p
left join contracts as c on c.role = 'order_files'
where p.order_kind <> 'undeclared' and exists (select * from declared_corpora)
