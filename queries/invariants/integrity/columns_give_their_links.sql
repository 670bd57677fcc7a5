-- name: columns_give_their_links
-- law: The sealed columns, encoded as events again, give each range's last link and root, and each border's.
-- family: integrity
-- level: intact
-- over: reread_entries
-- needs: reread_entries
select subject, event_seq, stream, expected, actual
from reread_entries
where expected is distinct from actual
