"""Ed25519 keys. The caller names the files; none is ever read from a ledger.

`openssl genpkey -algorithm ed25519 -out key.pem` makes a private key, `openssl pkey -in key.pem -pubout -out pub.pem`
its public key. Sources: RFC 8032 (Ed25519), RFC 8410 (its PEM files), C2SP signed-note (key ids, c2sp.org/signed-note).
"""

import base64
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from psion_ledger.digest import sha256
from psion_ledger.errors import UsageError
from psion_ledger.inputs import read_input

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE_BYTES_MAX = 64 << 10
_ED25519 = b"\x01"  # The signature type of C2SP signed-note.


def load_private_key(path: Path) -> "Ed25519PrivateKey":
    """An Ed25519 private key from a PEM file (PKCS #8, not encrypted) that only its owner can read or change.

    Raises UsageError for any other file.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data, mode = read_input(path, KEY_FILE_BYTES_MAX)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(f"{path}: a private key that others may read or change (mode {mode:o}): chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise UsageError(f"{path}: an encrypted key; decrypt it with `openssl pkey -in {path} -out key.pem`") from None
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(f"{path}: no private key in PEM; make one with `openssl genpkey -algorithm ed25519`") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path}: not an Ed25519 key; make one with `openssl genpkey -algorithm ed25519`")
    return key


def load_public_key(path: Path) -> "Ed25519PublicKey":
    """An Ed25519 public key from a PEM file (SubjectPublicKeyInfo). Raises UsageError for any other file."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data, _ = read_input(path, KEY_FILE_BYTES_MAX)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise UsageError(
            f"{path}: no public key in PEM; make it from the private one with `openssl pkey -in key.pem -pubout`"
        ) from None
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path}: not an Ed25519 key; give the public key of the one that signs the heads")
    return key


def key_id(name: str, public_key: "Ed25519PublicKey") -> bytes:
    """The 4 bytes by which a note's signature line names the key."""
    return sha256(name.encode() + b"\n" + _ED25519 + public_key.public_bytes_raw())[:4]


def verifier_key(origin: str, public_key: "Ed25519PublicKey") -> str:
    """The key in the one line that Go's sumdb/note and other tools of transparency logs take."""
    encoded = base64.b64encode(_ED25519 + public_key.public_bytes_raw()).decode()
    return f"{origin}+{key_id(origin, public_key).hex()}+{encoded}"
