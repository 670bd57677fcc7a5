"""Resuming a ledger that somebody forged: no path of it leads anywhere else, and no fact of it is a traceback.

One real run is trained to its last step and not promoted. Each forgery writes its events again with something changed,
through the real log, so that every digest holds.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events, log, open_run
from psion_ledger.contracts import decode_document, encode_document
from psion_ledger.digest import sha256
from tests.documents import changed
from tests.suites import sampled
from tests.trainer.tiny import Runs, settings, write_corpus
from trainer import files
from trainer.__main__ import main
from trainer.config import Damaged
from trainer.loop import train

SECRET = b"the secret of another folder"
ESCAPES = "\x1b[2J\x9b\u202e\n"
Edit = Callable[[events.Event], events.Event | None]


@dataclass(frozen=True)
class Trained:
    """The events of the run, and the artifacts that belong to it."""

    folder: Path
    emitted: list[events.Event]

    def forged(self, folder: Path, edit: Edit) -> list[str]:
        """The flags that resume a copy with every event edited; None leaves one out."""
        shutil.copytree(self.folder / "runs", folder / "runs", copy_function=os.link)
        (folder / "secret").write_bytes(SECRET)
        run = log.create_run(folder / "ledger", "r")
        log.claim_attempt(run)
        shutil.copytree(self.folder / "ledger" / "r" / "contracts", run / "contracts")
        opened = events.StreamOpened(
            role="train", attempt=1, rank=0, host="h", pid=1, code_version="1",
            attempt_sha256=log.attempt_sha256(run, 1), previous=[],
        )  # fmt: skip
        with log.open_writer(run, opened) as writer:
            for event in map(edit, self.emitted):
                if event is not None:
                    writer.emit(event)
        return ["--resume", "r", "--ledger", str(folder / "ledger"), "--artifacts", str(folder / "runs")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    runs = Runs(folder, settings(write_corpus(folder / "text")))
    emitted: list[events.Event] = []
    with pytest.MonkeyPatch.context() as patched:
        emit = log.Writer.emit

        def kept(writer: log.Writer, event: events.Event) -> None:
            emitted.append(event)
            emit(writer, event)

        patched.setattr(log.Writer, "emit", kept)
        training = runs.begin("r")
        with training.recorder:
            assert train(training, lambda: False) == "a0001-s000006"
    with open_run(runs.ledger, "r") as run:
        assert run.sql("select max(step) from step_completed").fetchall() == [(6,)]
    return Trained(folder, emitted)


def resumed(flags: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and the one line that is no phase; neither an escape nor the secret's digest is told."""
    code = main(flags)
    out, err = capfd.readouterr()
    lines = [line for line in err.splitlines() if line.startswith("python -m trainer: ")]
    assert (out, len(lines), "Traceback" in err) == ("", 1, False), err
    assert sha256(SECRET).hex() not in err
    assert err.replace("\n", "").isprintable()
    return code, lines[0].removeprefix("python -m trainer: ")


@pytest.mark.slow
def test_the_run_as_it_was_goes_on_to_its_end(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Written again and not changed, it is resumed and passes: what is refused below is refused for what was forged."""
    assert main(trained.forged(tmp_path, lambda event: event)) == 0
    assert "PASS   level replayed (here)" in capfd.readouterr().out


# ---- Paths ----


def naming(path: str, data: bytes = SECRET) -> Edit:
    """The last checkpoint's weights stand at another path, with the right digest of what is there."""

    def edit(event: events.Event) -> events.Event:
        if not isinstance(event, events.CheckpointWritten) or event.step != 6:
            return event
        other = events.CheckpointFile(path=path, bytes=len(data), sha256=sha256(data), role="weights")
        return msgspec.structs.replace(
            event, files=[other if file.path.endswith("model.safetensors") else file for file in event.files]
        )

    return edit


@pytest.mark.parametrize("recorded", ["checkpoints/../../../secret", "{}/secret", "a\x1b[2J/../x"])
def test_a_recorded_path_that_leads_elsewhere_is_not_opened(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], recorded: str
) -> None:
    """Upwards, or absolute: refused in one line, before a byte is read."""
    code, line = resumed(trained.forged(tmp_path, naming(recorded.format(tmp_path))), capfd)
    assert (code, f"which is no plain path below {tmp_path / 'runs' / 'r'}; nothing was read" in line) == (3, True)


def test_a_recorded_path_through_a_link_is_not_followed(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A folder on the way, or the file itself."""
    for number, (link, target, recorded) in enumerate(
        (("away", "../..", "away/secret"), ("alias", "../../secret", "alias"))
    ):
        folder = tmp_path / str(number)
        flags = trained.forged(folder, naming(recorded))
        (folder / "runs" / "r" / link).symlink_to(target)
        assert (folder / "runs" / "r" / recorded).read_bytes() == SECRET
        code, line = resumed(flags, capfd)
        assert (code, "leads through a link or is no regular file" in line) == (3, True), line


@pytest.mark.parametrize("kind", ["fifo", "folder", "socket"])
def test_a_recorded_file_that_is_no_regular_one_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    """Nobody ever writes to it."""
    if kind == "fifo":
        os.mkfifo(tmp_path / "weights")
    elif kind == "folder":
        (tmp_path / "weights").mkdir()
    else:
        os.mknod(tmp_path / "weights", 0o140600)
    with pytest.raises(Damaged, match="no regular file"):
        files.read_recorded(tmp_path, "weights", 0, sha256(b""))


@pytest.mark.parametrize("recorded", ["", "/", ".", "..", "a//b", "a/./b", "a/..", "/etc/hostname", "a\0b", "a/"])
def test_a_path_that_is_not_plain_is_refused(tmp_path: Path, recorded: str) -> None:
    """Whatever is there."""
    (tmp_path / "a").mkdir()
    with pytest.raises(Damaged, match="which is no plain path below"):
        files.open_recorded(tmp_path, recorded)


def test_a_recorded_file_of_another_size_is_not_read(tmp_path: Path) -> None:
    """It may be larger than memory."""
    with (tmp_path / "weights").open("wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    with pytest.raises(Damaged, match="has 1,099,511,627,776 bytes, and the ledger says 7; restore it"):
        files.read_recorded(tmp_path, "weights", 7, sha256(b"weights"))


def test_a_plain_path_is_read_when_it_has_its_digest(tmp_path: Path) -> None:
    """And refused when it has not."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "weights").write_bytes(b"weights")
    assert files.read_recorded(tmp_path, "checkpoints/weights", 7, sha256(b"weights")) == b"weights"
    with pytest.raises(Damaged, match="has sha256"):
        files.read_recorded(tmp_path, "checkpoints/weights", 7, sha256(b"another"))


@pytest.mark.slow
def test_a_checkpoint_s_id_is_no_path(trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The promotion reads the files that were recorded, and nothing where the id, which came from the ledger, leads."""

    def edit(event: events.Event) -> events.Event:
        if isinstance(event, events.CheckpointWritten) and event.step == 6:
            return msgspec.structs.replace(event, checkpoint_id="../../elsewhere")
        return event

    flags = trained.forged(tmp_path, edit)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "model.safetensors").write_bytes(SECRET)
    assert main(flags) == 0
    assert sha256(SECRET).hex() not in capfd.readouterr().out
    weights = tmp_path / "runs" / "r" / "checkpoints" / "a0001-s000006" / "model.safetensors"
    with open_run(tmp_path / "ledger", "r") as run:
        promoted = run.sql("select checkpoint_id, object_sha256 from checkpoint_promoted").fetchall()
    assert promoted == [("../../elsewhere", sha256(weights.read_bytes()))]


def redeclared(pattern: str, new: str) -> Edit:
    """Whatever matches in the contracts is replaced, and they get their digests."""

    def edit(event: events.Event) -> events.Event:
        if not isinstance(event, events.ContractDeclared):
            return event
        text = re.sub(pattern, new, event.document)
        return msgspec.structs.replace(event, document=text, sha256=sha256(text.encode()))

    return edit


def test_a_shard_s_id_is_no_path(trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Upwards out of the run's corpus."""
    flags = trained.forged(tmp_path, redeclared("train-0003", "../../../secret"))
    (tmp_path / "secret.bin").write_bytes(SECRET)
    code, line = resumed(flags, capfd)
    assert (code, line.startswith("the ledger names the file '../../../secret.bin', which is no plain path")) == (
        3,
        True,
    )


def test_the_text_of_a_forged_ledger_is_not_read(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A run that promised no text yet would read the folder of its settings, and record it: it is named once more."""

    def edit(event: events.Event) -> events.Event | None:
        if isinstance(event, events.RunStarted):
            pairs = {setting.name: setting.value for setting in event.settings} | {"corpus": str(tmp_path)}
            return with_settings(event, sorted(pairs.items()))
        return None

    flags = trained.forged(tmp_path, edit)
    shutil.rmtree(tmp_path / "runs")
    code, line = resumed(flags, capfd)
    assert (code, line) == (
        2,
        f"run r was stopped before it promised what it trains, and had begun with corpus '{tmp_path}', not 'python'; "
        "give the flags that it was started with, or start a new run",
    )
    assert not (tmp_path / "runs").exists()


# ---- Settings and contracts ----


def with_settings(event: events.RunStarted, pairs: list[tuple[str, str]]) -> events.RunStarted:
    return msgspec.structs.replace(event, settings=[events.Setting(name=name, value=value) for name, value in pairs])


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (f"no_such{ESCAPES}", f"1{ESCAPES}", "the recorded settings are not this trainer's: 'no_such\\x1b[2J"),
        ("warmup_steps", str(10**12), "warmup_steps is 1000000000000, which is not from 1 to 2147483647"),
        ("anchor", "pilot32m", "the recorded settings are not this trainer's: 'anchor' is 'pilot32m'"),
    ],
)
def test_a_forged_setting_is_one_line(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, value: str, said: str
) -> None:
    """Unknown, impossible, or what a contract says and no setting; before anything is built."""

    def edit(event: events.Event) -> events.Event:
        if not isinstance(event, events.RunStarted):
            return event
        pairs = {setting.name: setting.value for setting in event.settings} | {name: value}
        return with_settings(event, sorted(pairs.items()))

    code, line = resumed(trained.forged(tmp_path, edit), capfd)
    assert (code, said in line) == (3, True), line


@pytest.mark.parametrize(
    ("pattern", "new"),
    [
        (r'"hidden_size":\s*128', '"hidden_size": 99999999'),
        (r'"size_anchor":\s*"smoke"', '"size_anchor": "pilot32m"'),
        ("{", "["),
        (r'"horizon_steps":\s*6', '"horizon_steps": 0'),
    ],
)
def test_forged_contracts_are_one_line(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], pattern: str, new: str
) -> None:
    """A model of any size, no JSON, a horizon of nothing: the audit is named that tells what is wrong."""
    code, line = resumed(trained.forged(tmp_path, redeclared(pattern, new)), capfd)
    assert (code, line) == (
        3,
        f"run r: its contracts do not hold; `psion-ledger audit r --ledger {tmp_path / 'ledger'}` shows what is wrong",
    )


def forged_threads(event: events.Event) -> events.Event:
    if isinstance(event, events.AttemptStarted):
        return msgspec.structs.replace(event, threads_per_process=2**31 - 1)
    return event


def test_a_forged_number_of_threads_is_one_line(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """An attempt says how many it had, and the next one takes as many: so many would end the process."""
    code, line = resumed(trained.forged(tmp_path, forged_threads), capfd)
    assert (code, "threads is 2147483647, which is not from 1 to 1024" in line) == (3, True), line


OTHER_PLANS: dict[str, dict[str, object]] = {
    "no micro batches": {"/batch/micro_batch_sequences": None},
    "micro batches that do not divide the batch": {"/batch/micro_batch_sequences": 3},
    "no sizes of batches": {"/batch": {}},
    "batches that grow": {"/batch/schedule": [{"first_step": n, "sequences": 4 * n} for n in (1, 2)]},
    "passes that end": {"/passes": {"sequences": 40, "end": "short_batch"}},
    "ranks that take turns": {"/ranks/take": "strided"},
    "micro steps before ranks": {"/ranks/layout": "micro_major"},
    "sequences that are left out": {"/planned_skips": [{"before_step": 6, "sequences": 4}]},
    "targets that are all": {"/targets": "all"},
    "another divisor": {"/loss_divisor": "other"},
    "norms of ranks": {"/norm_is_global": False},
    "rates of ranks": {"/rate_is_global": False},
    "no evaluation at the end": {"/evaluations/at_end": False},
    "no evaluation": {"/evaluations": None},
    "no checkpoint at the start": {"/checkpoints/at_start": False},
    "checkpoints at the end alone": {"/checkpoints/every_steps": None},
    "a sampled evaluation": {
        f"/evaluation_sets/0/{name}": None for name in ("first_sequence_id", "end_sequence_id", "stride")
    },
    "an order that is not declared": {"/order": {"kind": "undeclared", "why": "so", "may_repeat": "anything"}},
    "an order of another version": {"/order/version": "2"},
    "an order that repeats nothing": {"/order/may_repeat": "nothing"},
    "windows": {"/unit": "window", "/order/name": "another"},
}


@pytest.mark.parametrize("name", sampled([*OTHER_PLANS], 3, str))
def test_a_plan_that_this_trainer_does_not_make_is_one_line(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    """It holds, and somebody else may keep it: here every step would be another than what it promises."""

    def edit(event: events.Event) -> events.Event:
        if not isinstance(event, events.ContractDeclared) or event.contract_role != "sampling_plan":
            return event
        plan = changed(decode_document("sampling_plan", event.document), OTHER_PLANS[name])
        text = encode_document(plan)
        return msgspec.structs.replace(event, document=text, sha256=sha256(text.encode()))

    code, line = resumed(trained.forged(tmp_path, edit), capfd)
    command = f"psion-ledger audit r --ledger {tmp_path / 'ledger'}"
    assert (code, line) == (3, f"run r: its plan is none that this trainer makes; `{command}` shows what is wrong")


def test_weights_that_are_none_are_one_line(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Files with the recorded digests that hold something else."""
    data = json.dumps({"model": ESCAPES}).encode()
    flags = trained.forged(tmp_path, naming("checkpoints/a0001-s000006/other/model.safetensors", data))
    (tmp_path / "runs" / "r" / "checkpoints" / "a0001-s000006" / "other").mkdir()
    (tmp_path / "runs" / "r" / "checkpoints" / "a0001-s000006" / "other" / "model.safetensors").write_bytes(data)
    code, line = resumed(flags, capfd)
    assert (code, "its files have the recorded digests and hold no state of this model" in line) == (3, True), line


def test_a_resume_that_needs_more_memory_than_there_is_is_refused(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run may have been begun on a larger machine."""
    flags = trained.forged(tmp_path, lambda event: event)
    monkeypatch.setattr("trainer.environment.machine_bytes", lambda: 4 << 20)
    code, line = resumed(flags, capfd)
    assert (code, line.endswith("resume it on a larger machine")) == (3, True), line


# ---- What may not be read or written ----


def test_a_ledger_that_may_not_be_read_is_said_so(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not: there is no such run."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    flags = trained.forged(tmp_path, lambda event: event)
    os.seteuid(65534)
    try:
        code, line = resumed(flags, capfd)
    finally:
        os.seteuid(0)
    assert (code, "Permission denied" in line, "free the disk" in line) == (3, True, False), line


def test_a_ledger_that_may_not_be_written_is_said_so(
    trained: Trained, tmp_path: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file system that is mounted read-only is not full."""
    flags = trained.forged(tmp_path, lambda event: event)
    shutil.copytree(tmp_path / "ledger", small_disk / "ledger")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    flags[flags.index("--ledger") + 1] = str(small_disk / "ledger")
    code, line = resumed(flags, capfd)
    assert (code, "Read-only file system" in line, "free the disk" in line) == (3, True, False), line
