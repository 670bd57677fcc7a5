-- name: contracts_are_declared_once
-- law: Each of the five contracts and the sequence index is declared exactly once.
-- family: binding
-- level: accounted
-- over: required_contracts
select r.role as subject, c.seq as event_seq, c.stream, '1 declaration' as expected,
  coalesce(c.declared, 0) || ' declarations' as actual
from required_contracts as r
left join (
  select contract_role as role, count(*) as declared, max(seq) as seq, max(stream) as stream from contract_declared group by contract_role
) as c on c.role = r.role
where coalesce(c.declared, 0) <> 1
order by r.role
