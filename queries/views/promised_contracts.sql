-- name: promised_contracts
-- about: The contracts that the run must declare, and those that it did.
select role from required_contracts
union
select contract_role from contract_declared
