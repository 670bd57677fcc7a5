-- name: first_measurements
-- about: The first measurement of each split and family that counts.
select * from measurements
qualify row_number() over (partition by split_name, source_family_id order by attempt, seq) = 1
