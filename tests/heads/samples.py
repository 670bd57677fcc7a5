"""Keys, heads and a small sealed log for the tests of heads. The key's seed is fixed: Ed25519 signs without chance."""

from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from psion_ledger import heads, log
from psion_ledger.digest import leaf_hash, merkle_root
from psion_ledger.log import claim, frame, manifest
from psion_ledger.log.segment import seal_run
from tests.ledgers import RUN_ID, opened
from tests.log.streams import numbered

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key()
ORIGIN = heads.origin(RUN_ID, "0123456789abcdef" * 2)


def leaves(size: int, salt: str = "leaf") -> list[bytes]:
    return [leaf_hash(f"{salt} {number}".encode()) for number in range(size)]


def head(size: int, salt: str = "leaf", origin: str = ORIGIN) -> heads.Head:
    """Of a log whose entries are `leaves`."""
    return heads.Head(origin=origin, size=size, root=merkle_root(leaves(size, salt)))


def signed(size: int, salt: str = "leaf", origin: str = ORIGIN, key: Ed25519PrivateKey = KEY) -> bytes:
    return heads.sign(head(size, salt, origin), key)


def private_pem(path: Path, key: Ed25519PrivateKey = KEY, mode: int = 0o600) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(mode)
    return path


def public_pem(path: Path, key: Ed25519PrivateKey = KEY) -> Path:
    path.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return path


class Log(msgspec.Struct, frozen=True, kw_only=True):
    """A sealed run as plain bytes: per entry the file's bytes, and the frames' bodies of its events, in order."""

    origin: str
    entries: list[bytes]
    bodies: list[list[bytes]]

    @property
    def leaf_hashes(self) -> list[bytes]:
        return [leaf_hash(entry) for entry in self.entries]

    def links(self, number: int) -> list[bytes]:
        return [leaf_hash(body) for body in self.bodies[number]]

    def note(self, key: Ed25519PrivateKey = KEY) -> bytes:
        root = merkle_root(self.leaf_hashes)
        return heads.sign(heads.Head(origin=self.origin, size=len(self.entries), root=root), key)


def sealed_log(ledger: Path, streams: int = 5) -> Log:
    """One entry for each stream, of 2, 3, ... events, written and sealed by the real log."""
    run = log.create_run(ledger, RUN_ID)
    for rank in range(streams):
        with log.open_writer(run, opened(rank=rank)) as writer:
            for step in range(1, rank + 2):
                writer.emit(numbered(step))
    bodies = []
    for journal in sorted(run.glob("journal/*/*.wal")):
        scan = frame.Scan(journal.read_bytes(), journal)
        stream_bodies = [(frame.encode(item), link) for item, link in scan]
        assert all(leaf_hash(body) == link for body, link in stream_bodies)
        bodies.append([body for body, _ in stream_bodies])
    seal_run(run)
    claimed, _ = claim.read_claim(run)
    return Log(
        origin=heads.origin(RUN_ID, claimed.nonce),
        entries=[manifest.path_of(run, number).read_bytes() for number in range(streams)],
        bodies=bodies,
    )
