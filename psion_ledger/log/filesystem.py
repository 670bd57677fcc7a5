"""What the log needs of the file system under it, tried out before a run begins there.

Two promises carry it: a lock that another process holds is refused, and `link` gives a name to one of two only. Local
file systems keep both. Network ones may keep them between the processes of one host and break them between hosts, which
no probe from one host can see, so that they are warned of by name.
"""

import fcntl
import os
import sys
from pathlib import Path

from psion_ledger.errors import UsageError
from psion_ledger.log import files

NETWORKED = frozenset(
    (
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "ceph", "glusterfs", "lustre", "beegfs", "gpfs",
        "orangefs", "afs", "ocfs2", "gfs2", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse", "fuse.glusterfs", "fuse.juicefs",
        "fuse.rclone", "fuse.mount-s3", "fuse.blobfuse2", "fuse.ceph", "fuse.lustre",
    )
)  # fmt: skip


def probe(run: Path) -> None:
    """Raises UsageError when locks or links do not exclude in the run's folder; warns of a network file system."""
    scratch, name = files.scratch_path(run), files.scratch_path(run)
    files.write_durable(scratch, b"")
    try:
        if not _locks_exclude(scratch):
            raise UsageError(f"{run}: file locks do not exclude each other here; put the ledger on a local disk")
        os.link(scratch, name)
        try:
            os.link(scratch, name)
            raise UsageError(f"{run}: a link replaces what is there; put the ledger on a local disk")
        except FileExistsError:
            pass
    finally:
        scratch.unlink()
        name.unlink(missing_ok=True)
    kind = _kind_here(run)
    if kind in NETWORKED:
        print(
            f"psion-ledger: {run.parent} is on {kind}: two hosts may not see each other's locks there, and a sync may "
            "not reach a disk; keep the ledger on a local disk and copy it",
            file=sys.stderr,
        )


def _locks_exclude(path: Path) -> bool:
    held, tried = (os.open(path, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2))
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            fcntl.flock(tried, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
    finally:
        os.close(held)
        os.close(tried)


def _kind_here(run: Path) -> str | None:
    try:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    device = run.stat().st_dev
    return kind_of(mounts, os.major(device), os.minor(device))


def kind_of(mountinfo: str, major: int, minor: int) -> str | None:
    """The type of the file system that a device number stands for; format: proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        fields = line.split()
        if len(fields) > 6 and fields[2] == f"{major}:{minor}" and "-" in fields:
            return fields[fields.index("-") + 1]
    return None
