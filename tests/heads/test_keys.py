"""Keys: Ed25519 in PEM files as openssl makes them; a private one that others can read is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from psion_ledger import heads
from psion_ledger.errors import UsageError
from tests.heads.samples import KEY, ORIGIN, PUBLIC, private_pem, public_pem

PEM, PKCS8, SPKI = Encoding.PEM, PrivateFormat.PKCS8, PublicFormat.SubjectPublicKeyInfo


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path


def test_a_key_pair_is_read(tmp_path: Path) -> None:
    """From two PEM files, through a symbolic link too."""
    private_pem(tmp_path / "real.pem")
    (tmp_path / "key.pem").symlink_to("real.pem")
    private = heads.load_private_key(tmp_path / "key.pem")
    public = heads.load_public_key(public_pem(tmp_path / "pub.pem"))
    assert (KEY.private_bytes_raw(), PUBLIC.public_bytes_raw()) == (
        private.private_bytes_raw(), public.public_bytes_raw()
    )  # fmt: skip


def test_a_key_made_by_openssl_is_read(tmp_path: Path) -> None:
    """As the messages tell people to make one; its public half is the same."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed")
    for command in ("genpkey -algorithm ed25519 -out key.pem", "pkey -in key.pem -pubout -out pub.pem"):
        subprocess.run(["openssl", *command.split()], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "key.pem").chmod(0o600)
    private, public = heads.load_private_key(tmp_path / "key.pem"), heads.load_public_key(tmp_path / "pub.pem")
    assert private.public_key().public_bytes_raw() == public.public_bytes_raw()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o666, 0o444])
def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Or change; the message says what to do."""
    path = private_pem(tmp_path / "key.pem", mode=mode)
    with pytest.raises(UsageError) as refused:
        heads.load_private_key(path)
    expected = f"{path}: a private key that others may read or change (mode {mode:o}): chmod 600 {path}"
    assert expected == str(refused.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_key_of_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    """By permission bits; which of the owner's they are does not matter."""
    key = heads.load_private_key(private_pem(tmp_path / "key.pem", mode=mode))
    assert KEY.private_bytes_raw() == key.private_bytes_raw()


def test_a_link_does_not_hide_its_targets_mode(tmp_path: Path) -> None:
    """What is looked at is the file that is read."""
    private_pem(tmp_path / "real.pem", mode=0o644)
    (tmp_path / "key.pem").symlink_to("real.pem")
    with pytest.raises(UsageError, match="chmod 600"):
        heads.load_private_key(tmp_path / "key.pem")


def test_keys_of_other_types_are_refused(tmp_path: Path) -> None:
    """RSA, X25519, and a key that is encrypted: each in one line."""
    for key in (generate_private_key(65_537, 2_048), X25519PrivateKey.generate()):
        private = written(tmp_path / "key.pem", key.private_bytes(PEM, PKCS8, NoEncryption()))
        public = written(tmp_path / "pub.pem", key.public_key().public_bytes(PEM, SPKI))
        with pytest.raises(UsageError, match=r"\A\S+key.pem: not an Ed25519 key; make one with .*\Z"):
            heads.load_private_key(private)
        with pytest.raises(UsageError, match=r"\A\S+pub.pem: not an Ed25519 key; give the public key .*\Z"):
            heads.load_public_key(public)
    encrypted = KEY.private_bytes(PEM, PKCS8, BestAvailableEncryption(b"password"))
    with pytest.raises(UsageError, match="an encrypted key; decrypt it with `openssl pkey"):
        heads.load_private_key(written(tmp_path / "key.pem", encrypted))


def test_one_half_does_not_stand_for_the_other(tmp_path: Path) -> None:
    """A public key where a private one is wanted, and the reverse."""
    public, private = public_pem(tmp_path / "pub.pem"), private_pem(tmp_path / "key.pem")
    public.chmod(0o600)
    with pytest.raises(UsageError, match="no private key in PEM"):
        heads.load_private_key(public)
    with pytest.raises(UsageError, match="no public key in PEM"):
        heads.load_public_key(private)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 100,
        b"-----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        b"x" * (64 << 10),
        b"x" * ((64 << 10) + 1),
    ],
)
def test_what_is_no_key_is_refused(tmp_path: Path, data: bytes) -> None:
    """Empty, binary, cut short, huge."""
    path = written(tmp_path / "key.pem", data)
    for load in (heads.load_private_key, heads.load_public_key):
        with pytest.raises(UsageError, match=r"\A\S+key.pem: (no|not a|larger than) .*\Z"):
            load(path)


def test_a_key_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Absent, a folder, a FIFO that nobody writes to."""
    os.mkfifo(tmp_path / "fifo")
    for name, message in (("none", "No such file"), (".", "not a regular file"), ("fifo", "not a regular file")):
        for load in (heads.load_private_key, heads.load_public_key):
            with pytest.raises(UsageError, match=message):
                load(tmp_path / name)


def test_the_verifier_key_is_frozen() -> None:
    """Name, id and key in one line, as sumdb's tools take it."""
    expected = f"{ORIGIN}+dbd1342f+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    assert expected == heads.verifier_key(ORIGIN, PUBLIC)


def test_who_reads_no_key_pays_for_none() -> None:
    """`cryptography` is loaded by the first that signs or verifies."""
    program = "import sys, psion_ledger.heads; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
