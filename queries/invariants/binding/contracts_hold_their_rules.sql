-- name: contracts_hold_their_rules
-- law: Each contract keeps its own rules, and the five agree with each other.
-- family: binding
-- level: accounted
-- over: contracts
select k.pointer as subject, c.seq as event_seq, c.stream, k.code || ': ' || k.expected as expected, k.actual
from contract_checks as k
left join contracts as c on c.role = k.role
order by k.pointer, k.code
