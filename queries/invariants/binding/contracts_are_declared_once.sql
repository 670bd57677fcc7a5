-- name: contracts_are_declared_once
-- law: Each contract is declared exactly once, and none that is needed is lacking when an attempt starts.
-- family: binding
-- level: accounted
-- over: promised_contracts
select n.role as subject, c.seq as event_seq, c.stream, '1 declaration' as expected,
  coalesce(d.declarations, 0) || ' declarations' as actual
from promised_contracts as n
left join (
  select contract_role as role, count(*) as declarations from contract_declared group by contract_role
) as d on d.role = n.role
left join contract_declared as c on c.contract_role = n.role
cross join progress as r
where d.declarations > 1 or (d.declarations is null and r.attempts > 0)
