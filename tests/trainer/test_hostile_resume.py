"""Resuming a ledger that somebody forged, or that may not be read or written: one line says so, and no traceback."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from psion_ledger import events
from psion_ledger.contracts import decode_document, encode_document
from psion_ledger.digest import sha256
from tests.documents import changed
from tests.suites import sampled
from tests.trainer.forging import ESCAPES, Trained, naming, redeclared, resumed, with_settings
from trainer.__main__ import main


@pytest.mark.slow
def test_the_run_as_it_was_goes_on_to_its_end(
    trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Written again and not changed, it is resumed and passes: what is refused below is refused for what was forged."""
    assert main(trained.forged(tmp_path, lambda event: event)) == 0
    assert "PASS   level replayed (here)" in capfd.readouterr().out


# ---- Settings and contracts ----


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
