"""No text of a hostile record does anything where it is shown: every command that prints, in every format."""

import json
import re
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psion_ledger import heads
from psion_ledger.cli import app
from psion_ledger.cli.app import LINE_CHARACTERS_MAX
from psion_ledger.digest import sha256
from psion_ledger.escape import SHOWN_CHARACTERS_MAX, brief, json_safe, plain
from psion_ledger.events import KINDS
from tests.corpora import real_contracts
from tests.heads.samples import KEY, private_pem, public_pem
from tests.hostile.forging import chained, journal
from tests.hostile.poison import EVIL, EVIL_WORD, NAME, own_head, write_poisoned
from tests.hostile.test_strings import gap
from tests.ledgers import RUN_ID, opened

OBEYED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# How a part of EVIL, or of EVIL_WORD, looks where it was shown.
SHOWN = ("\\x9b31m", "\\u009b31m", "evil\\u202e")


# Every row of every event kind, in one row.
EVERYTHING = "select " + ", ".join(f"(select list(r) from {kind} r) as {kind}" for kind in KINDS)
LONG = "\x9b" * 5000
ESCAPED_WITHIN_S = 5.0


def ask(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def obeyed(text: str) -> list[str]:
    return sorted({c for c in text if c != "\n" and unicodedata.category(c) in OBEYED})


class Place:
    """A hostile ledger, keys, notes and documents beside it."""

    def __init__(self, folder: Path, evil: str = EVIL) -> None:
        self.ledger = write_poisoned(folder, real_contracts(), evil)
        self.run = self.ledger / RUN_ID
        self.key, self.public = private_pem(folder / "key.pem"), public_pem(folder / "pub.pem")
        own = own_head(self.run)
        self.kept, self.forked = folder / f"kept{EVIL_WORD}", folder / "forked"
        self.kept.write_bytes(next((self.run / "heads").glob("*.note")).read_bytes())
        self.forked.write_bytes(heads.sign(heads.Head(origin=own.origin, size=own.size, root=sha256(b"")), KEY))
        self.proof = folder / "proof.json"
        assert ask("prove", "inclusion", RUN_ID, "--stream", "t0001.r00000", "--seq", 0, "--ledger", self.ledger,
                   "-o", self.proof).exit_code == 0  # fmt: skip
        self.receipt = folder / "receipt.json"
        assert ask("receipt", RUN_ID, "--ledger", self.ledger, "-o", self.receipt).exit_code == 0

    def commands(self) -> dict[str, tuple[object, ...]]:
        """The exit code, whether a hostile text is in what is shown, and the words."""
        run = (RUN_ID, "--ledger", self.ledger)
        kept = ("--expect-head", self.kept, "--key", self.public)
        known: dict[str, tuple[object, ...]] = {
            "runs": (0, True, "runs", "--ledger", self.ledger), "show": (0, True, "show", *run),
            "audit": (1, True, "audit", *run, "--deep", *kept), "replay": (3, True, "replay", *run, "--corpus", EVIL),
            "fsck": (1, True, "fsck", *run, "--key", self.public), "laws": (0, False, "laws"),
            "check": (1, True, "prove", "check", self.proof, "--key", self.public, "--expect-run", EVIL),
            "everything": (0, True, "query", *run, EVERYTHING),
        }  # fmt: skip
        known |= {f"{name} json": (*words, "--format", "json") for name, words in known.items()}
        return known | {
            "everything csv": (*known["everything"], "--format", "csv"),
            "audit one": (1, True, "audit", *run, "-s", "stage_is_pretrain"), "receipt": (0, True, "receipt", *run),
            "verify": (2, True, "verify", self.receipt, "--ledger", self.ledger), "seal": (0, False, "seal", *run),
            "compact": (0, False, "compact", *run), "head": (0, False, "head", *run),
            "signed head": (2, True, "head", *run, "--key", self.key),
            "inclusion": (0, True, "prove", "inclusion", *run, "--entry", 0),
            "consistency": (0, True, "prove", "consistency", *run, "--from", self.kept),
            "equivocation": (0, True, "prove", "equivocation", *run, "--expect-head", self.forked, *kept[2:]),
            "relations": (0, False, "query", *run), "no run": (4, True, "show", "nobody", "--ledger", self.ledger),
            "no file": (2, True, "verify", f"/no/{EVIL}"), "no law": (2, True, "audit", *run, "-s", EVIL),
            "no sql": (2, True, "query", *run, f'select "{EVIL}"'), "no head": (2, True, "head", *run, "--key", EVIL),
        }  # fmt: skip


def check(commands: dict[str, tuple[object, ...]]) -> None:
    for name, (code, shown, *words) in commands.items():
        done = ask(*words)
        assert (name, obeyed(done.stdout), obeyed(done.stderr)) == (name, [], [])
        assert (name, done.exit_code, any(part in done.output for part in SHOWN)) == (name, code, shown), done.stderr
        if name.endswith("json") and code != 3:
            assert any(EVIL.split("\r")[0] in text for text in texts(json.loads(done.stdout))) == shown, name


def texts(value: object) -> Iterator[str]:
    """Every text of a JSON document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            yield from texts(part)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("hostile"))


@pytest.mark.slow
def test_no_text_of_a_record_reaches_a_terminal(place: Place) -> None:
    """Neither by stdout nor by stderr; and JSON has the same values still."""
    check(place.commands())


def test_no_text_of_a_damaged_record_reaches_a_terminal(place: Place) -> None:
    """A gap, and a torn stream whose name is none: what is refused, and what is shown despite damage."""
    chained(place.run, [opened(role="verify", host=EVIL), gap(EVIL)])
    journal(place.run, b"torn", stream=f"v.{NAME}")
    known = place.commands()
    damaged = {"seal": (3, "seal"), "show": (3, "show"), "runs": (3, "runs"), "audit": (1, "audit json"),
               "fsck": (1, "fsck"), "fsck json": (1, "fsck json")}  # fmt: skip
    check({name: (code, True, *known[of][2:]) for name, (code, of) in damaged.items()})
    despite = ("show", "show json", "everything", "everything json")
    check({name: (0, True, *known[name][2:], "--despite-damage") for name in despite})


@pytest.mark.slow
def test_a_long_text_of_a_record_is_shown_in_short(tmp_path: Path) -> None:
    """Whatever is for people: no value goes on for pages; a refusal is a line."""
    known = Place(tmp_path, LONG).commands()
    for name in ("show", "audit", "audit one", "fsck", "check", "verify", "replay", "runs"):
        _, _, *words = known[name]
        done = ask(*words)
        runs = re.findall(r"(?:\\x9b)+", re.sub(r"\s", "", done.stdout))
        assert (name, max(map(len, runs), default=0) <= 4 * SHOWN_CHARACTERS_MAX) == (name, True)
        assert (name, len(done.stderr) <= 4 * LINE_CHARACTERS_MAX + 100) == (name, True)


def test_what_is_escaped_is_the_same_json() -> None:
    """Every character of the planes that have such ones, in a text; blanks between values stay blanks."""
    everything = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x14000), *range(0xE0000, 0xE0200)]))
    text = json.dumps({"a": everything, everything[:400]: []}, ensure_ascii=False)
    safe = json_safe(text.replace(": ", ":\r\t", 1))
    assert (json.loads(safe), obeyed(safe)) == (json.loads(text), [])
    assert {c for c in everything if c.isalnum()} - set(safe) == set()
    assert (obeyed(plain(everything)), len(plain("\ud800"))) == ([], 6)


def test_a_text_of_megabytes_is_escaped_at_once_and_shown_in_short() -> None:
    """In seconds, where it took minutes; with its end, which may hold what to do."""
    began_s = time.process_time()
    for part in ("\x9b", "a\u202e", "\u00e9"):
        huge = part * (1 << 20)
        assert len(json_safe(huge)) >= len(plain(huge)) >= len(huge)
    assert time.process_time() - began_s < ESCAPED_WITHIN_S
    short = brief("a" * (1 << 20) + "the end")
    assert (len(short) < 500, short.endswith("the end"), "(1,048,183 more characters)" in short) == (True, True, True)
    assert brief("a" * 400) == "a" * 400
