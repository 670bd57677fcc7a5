"""The command line and the settings: defaults, refusals, and the way through the ledger and back."""

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import (
    ANCHORS,
    RECORDED,
    BadInput,
    Damaged,
    Settings,
    new_settings,
    parse_command,
    refuse_disagreeing_flags,
)


def promised(settings: Settings) -> dict[str, Any]:
    """What the contracts and the attempts say of settings: all that the ledger does not keep as such."""
    return {name: value for name, value in asdict(settings).items() if name not in RECORDED}


SMOKE = promised(ANCHORS["smoke"])


@pytest.mark.parametrize("anchor", sorted(ANCHORS))
def test_settings_survive_the_ledger(anchor: str) -> None:
    """Names and texts give back the very same settings, with what the contracts promise."""
    settings = ANCHORS[anchor]
    assert Settings.from_pairs(settings.pairs(), promised(settings)) == settings


def test_what_a_contract_says_is_said_nowhere_else() -> None:
    """The recorded settings are sorted, and none is a size, a count of steps, a seed, or the machine's."""
    names = [name for name, _ in ANCHORS["smoke"].pairs()]
    assert names == sorted(names)
    assert set(SMOKE) == {
        "anchor", "batch", "checkpoint_every_steps", "context", "evaluate_every_steps", "evaluation_sequences",
        "label_smoothing_bps", "micro_steps", "seed", "steps", "threads",
    }  # fmt: skip


@given(rate=st.floats(min_value=0, allow_nan=False, allow_infinity=False), seed=st.integers(0, 2**31 - 1))
def test_settings_keep_every_bit_of_a_float(rate: float, seed: int) -> None:
    """A learning rate comes back as the same float64."""
    settings = new_settings({"learning_rate": rate, "seed": seed}, world_size=1, threads=2)
    assert Settings.from_pairs(settings.pairs(), promised(settings)) == settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: must be a whole number from 1 to 2147483647, not '0'"),
        (["--steps", "many"], "argument --steps: must be a whole number from 1 to 2147483647, not 'many'"),
        (["--vocab", "256"], "argument --vocab: must be a whole number from 257 to 2147483647, not '256'"),
        (["--context", "1"], "argument --context: must be a whole number from 2 to 2147483647, not '1'"),
        (["--seed", "-1"], "argument --seed: must be a whole number from 0 to 2147483647, not '-1'"),
        (["--steps", "-3"], "argument --steps: must be a whole number from 1 to 2147483647, not '-3'"),
        (["--batch", str(2**31)], f"argument --batch: must be a whole number from 1 to 2147483647, not '{2**31}'"),
        (["--corpus", ""], "argument --corpus: must be a name that can be printed, not ''"),
        (["--ledger", " "], "argument --ledger: must be a name that can be printed, not ' '"),
        (["--artifacts", "a\x1b[2J"], "argument --artifacts: must be a name that can be printed, not 'a\\x1b[2J'"),
        (["--resume", "a", "--run-id", "b"], "--resume a and --run-id b name two runs; give --resume alone"),
    ],
)
def test_bad_flags_are_refused_with_one_line(arguments: list[str], message: str) -> None:
    """What is wrong with which flag, in one line."""
    with pytest.raises(BadInput) as refused:
        parse_command(arguments)
    assert str(refused.value).removesuffix(" (see python -m trainer --help)") == message


@pytest.mark.parametrize("run_id", ["", "Run", "-a", "a..b", "a/b", "a" * 65, "a\n", "../a"])
def test_bad_run_ids_are_refused(run_id: str) -> None:
    """A run id outside the grammar names no folder."""
    with pytest.raises(BadInput, match="bad run id"):
        parse_command([f"--run-id={run_id}"])


def test_a_new_run_gets_an_id_of_its_own() -> None:
    """Two runs started in the same second have different ids, which --run-id would accept."""
    first, second = parse_command([]).run_id, parse_command([]).run_id
    assert first != second
    assert parse_command(["--run-id", first]).run_id == first


def test_a_batch_that_does_not_divide_is_refused() -> None:
    """World size times micro steps must divide the global batch."""
    with pytest.raises(BadInput, match=r"8 sequences .* 3 ranks x 1 micro steps; give --batch a multiple of 3"):
        new_settings({}, world_size=3, threads=1)


def test_flags_override_the_anchor_alone() -> None:
    """A flag changes its own setting; a short run shortens the warm-up with it."""
    settings = new_settings({"steps": 50, "anchor": "smoke"}, world_size=1, threads=1)
    before = asdict(ANCHORS["smoke"])
    changed = {name: value for name, value in asdict(settings).items() if value != before[name]}
    assert changed == {"steps": 50, "warmup_steps": 5}


def test_a_resume_refuses_a_flag_that_disagrees() -> None:
    """The ledger's word counts; a flag that repeats it is fine."""
    refuse_disagreeing_flags("r", {"steps": 200}, ANCHORS["smoke"])
    with pytest.raises(BadInput) as refused:
        refuse_disagreeing_flags("r", {"micro_steps": 2}, ANCHORS["smoke"])
    assert str(refused.value) == "run r was started with --micro-steps 1, not 2; resume it without --micro-steps"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no_such_setting", "1"),
        ("no_such_setting", "None"),
        ("no_such_setting\x1b[2J" + "x" * 1_000_000, "1"),
        ("steps", "200"),
        ("warmup_steps", "many"),
        ("warmup_steps", ""),
        ("warmup_steps", "1_000"),
        ("warmup_steps", "-1"),
        ("warmup_steps", "0"),
        ("warmup_steps", "9" * 5000),
        ("vocab", "256"),
        ("learning_rate", "nan"),
        ("learning_rate", "-1.0"),
        ("beta1", "1.0"),
        ("clip_norm", "inf"),
        ("corpus", "a\nb"),
    ],
)
def test_a_setting_that_this_trainer_never_recorded_is_refused(name: str, text: str) -> None:
    """A name that it does not have, or a value that is no such number: named, and short."""
    pairs = [pair for pair in ANCHORS["smoke"].pairs() if pair[0] != name]
    with pytest.raises(Damaged) as refused:
        Settings.from_pairs([*pairs, (name, text)], SMOKE)
    line = str(refused.value)
    assert line.startswith("the recorded settings are not this trainer's: ")
    assert name[:15] in line
    assert len(line) < 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("checkpoint_every_steps", 0),
        ("evaluate_every_steps", 0),
        ("micro_steps", 0),
        ("seed", 2**64),
        ("threads", 0),
        ("threads", 1025),
        ("anchor", "huge\x1b[2J"),
    ],
)
def test_a_promise_that_this_trainer_cannot_keep_is_refused(name: str, value: object) -> None:
    """Whatever the contracts say: named, and short."""
    with pytest.raises(Damaged) as refused:
        Settings.from_pairs(ANCHORS["smoke"].pairs(), SMOKE | {name: value})
    line = str(refused.value)
    assert line.startswith("the recorded settings are not this trainer's: ")
    assert name in line
    assert len(line) < 400


def test_a_setting_that_is_recorded_twice_is_refused() -> None:
    """Nobody could say which of them counts."""
    with pytest.raises(Damaged, match="'vocab' is '4096'"):
        Settings.from_pairs([*ANCHORS["smoke"].pairs(), ("vocab", "4096")], SMOKE)


def test_a_setting_that_is_left_out_is_named() -> None:
    """Whether it has a default or not: this trainer records them all."""
    for left_out in RECORDED:
        pairs = [pair for pair in ANCHORS["smoke"].pairs() if pair[0] != left_out]
        with pytest.raises(Damaged, match=f"'{left_out}' is left out"):
            Settings.from_pairs(pairs, SMOKE)
