"""Of the tests of the sandbox: what the files of a folder hold, before a query and after it."""

import hashlib
from pathlib import Path


def digests(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}
