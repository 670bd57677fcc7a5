"""Where permission bits keep us out, that is said, with exit 3: never an answer, a verdict, or `no runs`."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from psion_ledger import events, ledger, log
from psion_ledger.cli import app
from psion_ledger.log import compact, frame  # noqa: F401
from tests.cli import FIXTURE, FIXTURE_LEDGER, FIXTURE_RUNS
from tests.heads.samples import private_pem
from tests.ledgers import opened
from tests.permissions import NOBODY, AnsweredHere, reachable_folder, unprivileged


def ask(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def add_two_entries(run: Path) -> None:
    """Of one stream, so that there is something to compact: a verification that has begun."""
    verifier = opened(role="verify", attempt_sha256=log.attempt_sha256(run, 1))
    with log.open_writer(run, verifier, stream="v.begun") as writer:
        writer.rotate()
        writer.emit(
            events.VerificationStarted(
                verification_id="begun", method="content", first_step=1, end_step=41, sample_bps=10_000,
                corpus_digest=None,
            )
        )  # fmt: skip
    assert len(log.seal_run(run).entries) == 2


class Shared:
    """A ledger with a signed head and a stream's empty journal folder, and artifacts, that anybody may read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger, self.run = folder, folder / "ledger", folder / "ledger" / FIXTURE
        self._loaded = set[str]()
        shutil.copytree(FIXTURE_LEDGER, self.ledger)
        shutil.copytree(FIXTURE_RUNS, folder / "runs")
        add_two_entries(self.run)
        (self.run / "journal" / "v.more").mkdir(parents=True)
        private_pem(folder / "key.pem")
        assert ask("head", FIXTURE, "--ledger", self.ledger, "--key", folder / "key.pem").exit_code == 0
        (folder / "receipt.json").write_text(ask("receipt", FIXTURE, "--ledger", self.ledger).stdout)
        (folder / "open").mkdir()
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        (folder / "open").chmod(0o777)

    def reading(self) -> dict[str, tuple[object, ...]]:
        artifacts = ("--artifacts", self.folder / "runs")
        return {
            "audit": ("audit", FIXTURE, *artifacts, "--require", "replayed"), "show": ("show", FIXTURE),
            "query": ("query", FIXTURE, "select count(*) from train_batches"), "receipt": ("receipt", FIXTURE),
            "verify": ("verify", self.folder / "receipt.json"), "replay": ("replay", FIXTURE, *artifacts),
            "catalog": ("catalog", FIXTURE, "-o", self.folder / "open" / "made.duckdb"), "fsck": ("fsck", FIXTURE),
            "inclusion": ("prove", "inclusion", FIXTURE, "--entry", 0), "head": ("head", FIXTURE), "runs": ("runs",),
        }  # fmt: skip

    def own_key(self) -> Path:
        """A private key of whoever asks, as signing wants it."""
        path = self.folder / "key.pem"
        path.chmod(0o600)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
        return path

    def ask(self, *words: object) -> Result:
        if words[0] in self.reading() and words[0] not in self._loaded:
            # Modules that are imported late may lie where only root can read.
            self._loaded.add(str(words[0]))
            ask(*self.reading()[str(words[0])], "--ledger", self.ledger)
            (self.folder / "open" / "made.duckdb").unlink(missing_ok=True)
        with pytest.MonkeyPatch.context() as patched, unprivileged():
            patched.setattr(ledger, "Sandbox", AnsweredHere)
            return ask(*words, "--ledger", self.ledger)


@pytest.fixture(scope="module")
def shared() -> Iterator[Shared]:
    with reachable_folder() as folder:
        made = Shared(folder)
        for name, words in made.reading().items():
            assert name not in QUICK or made.ask(*words).exit_code == 0, name
        yield made


def unsealed_journal(run: Path) -> Path:
    """Of a writer that died after its first event."""
    claimed, _ = log.read_claim(run)
    nonce = bytes.fromhex(claimed.nonce)
    link = frame.first_link(FIXTURE, "v.more", nonce)
    header = frame.Header(
        format_version=1, events_version=1, run_id=FIXTURE, stream="v.more", nonce=nonce, first_seq=0, link_before=link
    )
    body = frame.encode((0, 1, link, frame.NOTHING_DURABLE, opened(role="verify")))
    path = run / "journal" / "v.more" / f"{0:012}.wal"
    path.write_bytes(frame.encode_header(header) + frame.enveloped(body))
    path.chmod(0o644)
    return path


CLOSED = {
    "the ledger": ("ledger", 0o000), "names in the ledger alone": ("ledger", 0o444), "a run": ("ledger/fixture", 0o000),
    "names in a run alone": ("ledger/fixture", 0o444), "a run, but for known names": ("ledger/fixture", 0o111),
    **{
        name: (f"ledger/fixture/{pattern}", 0o000)
        for name, pattern in {
            "the claim": "CLAIM", "the entries": "manifest", "an entry": "manifest/1.json", "the journals": "journal",
            "a stream's journals": "journal/v.more", "the segments": "segments",
            "a kind's segments": "segments/step_completed", "a segment": "segments/batch_replayed/*.parquet",
            "the attempts": "attempts", "an attempt": "attempts/1.json", "the contracts": "contracts",
            "the index": "contracts/*.parquet", "the heads": "heads",
        }.items()
    },
}  # fmt: skip
QUICK = ("query", "fsck", "runs")


def check(shared: Shared, what: str, commands: list[str]) -> None:
    pattern, mode = CLOSED[what]
    path = sorted(shared.folder.glob(pattern))[0]
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        ended = {name: shared.ask(*shared.reading()[name]) for name in commands}
    finally:
        path.chmod(before)
    for name, done in ended.items():
        # `runs` says it in its row, in columns.
        said = "".join((done.stderr + (done.stdout if name == "runs" else "")).split())
        lines = len(done.stderr.splitlines())
        assert (name, done.exit_code, lines <= 1) == (name, 3, True), (done.stderr, done.stdout)
        assert "cannotberead:Permissiondenied" in said, (name, done.stderr)
        assert name == "runs" or done.stdout == "", name


@pytest.mark.parametrize("what", CLOSED)
def test_what_keeps_us_out_gives_no_answer(shared: Shared, what: str) -> None:
    """A query, which would count less; fsck, which would accuse the writer; `runs`, which would list none."""
    check(shared, what, [*QUICK])


@pytest.mark.slow
@pytest.mark.parametrize("what", CLOSED)
def test_what_keeps_us_out_gives_no_answer_by_any_command(shared: Shared, what: str) -> None:
    """Whatever reads a record."""
    check(shared, what, [name for name in shared.reading() if name not in QUICK])


def test_an_attempt_that_may_not_be_read_is_no_violation(shared: Shared) -> None:
    """An audit would accuse the writer."""
    check(shared, "an attempt", ["audit"])


def test_nothing_is_signed_beside_a_head_that_may_not_be_read(shared: Shared) -> None:
    """It may be one that this key signed, of another history."""
    (note,) = (shared.run / "heads").iterdir()
    note.chmod(0o000)
    try:
        done = shared.ask("head", FIXTURE, "--key", shared.own_key())
    finally:
        note.chmod(0o644)
    assert (done.exit_code, done.stdout) == (3, "")
    assert f"{note}: cannot be read: Permission denied" in done.stderr


def test_a_ledger_that_may_not_be_written_is_not_a_full_disk(shared: Shared) -> None:
    """Each command that would write says that it may not, in one line."""
    waiting = unsealed_journal(shared.run)
    writing: dict[str, tuple[object, ...]] = {
        "seal": ("seal",), "compact": ("compact",), "head": ("head", "--key", shared.own_key()),
        "replay": ("replay", "--record", "--artifacts", shared.folder / "runs"),
    }  # fmt: skip
    try:
        for name, words in writing.items():
            if name == "head":
                waiting.unlink()
                next((shared.run / "heads").iterdir()).unlink()
            done = shared.ask(*words, FIXTURE)
            said = (done.exit_code, len(done.stderr.splitlines()), "it may not be written here" in done.stderr)
            assert (name, *said, "free the disk" in done.stderr) == (name, 3, 1, True, False), done.stderr
    finally:
        waiting.unlink(missing_ok=True)
