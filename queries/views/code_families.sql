-- name: code_families
-- about: The training families that the policy classes as code.
select source_family_id from family_weights where content_class = 'code'
