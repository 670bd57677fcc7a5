-- name: contracts_hold_their_rules
-- law: Each contract keeps its own rules, and all of them agree with each other.
-- family: binding
-- level: accounted
-- over: promised_contracts
select k.pointer as subject, c.seq as event_seq, c.stream, k.code || ': ' || k.expected as expected, k.actual
from (
  select role, pointer, code, expected, actual from contract_checks
  union all
  select n.role, n.role || '#', 'Missing', 'a contract', 'none'
  from promised_contracts as n
  left join contracts as d on d.role = n.role
  cross join progress as r
  where d.role is null and r.attempts > 0
) as k
left join contracts as c on c.role = k.role
