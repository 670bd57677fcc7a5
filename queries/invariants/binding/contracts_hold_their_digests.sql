-- name: contracts_hold_their_digests
-- law: The bytes of each declared contract have the digest that its declaration names.
-- family: binding
-- level: accounted
-- over: promised_contracts
select coalesce(c.contract_role, n.role) as subject, c.seq as event_seq, c.stream,
  coalesce(lower(hex(c.sha256)), 'a declaration') as expected, coalesce(sha256(c.document), 'no document') as actual
from promised_contracts as n
full join contract_declared as c on c.contract_role = n.role
cross join progress as r
where case when c.contract_role is null then r.attempts > 0
  else sha256(c.document) is distinct from lower(hex(c.sha256)) end
