-- name: checkpoints
-- about: Every checkpoint written. Those of superseded steps do not count (`effective`). `object_sha256` is of the one
--   weights file, else of the list of them.
select c.*, c.step <= a.kept_through_step as effective,
  case when len(list_filter(c.files, lambda f: f.role = 'weights')) = 1
    then list_filter(c.files, lambda f: f.role = 'weights')[1].sha256
    else unhex(sha256(array_to_string(list_sort(list_transform(list_filter(c.files, lambda f: f.role = 'weights'),
      lambda f: f.path || chr(10) || lower(hex(f.sha256)) || chr(10))), ''))) end as object_sha256
from checkpoint_written as c
left join attempts as a on a.attempt = c.attempt
