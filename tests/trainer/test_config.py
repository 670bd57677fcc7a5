"""The command line and the settings: defaults, refusals, and the way through the ledger and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.config import (
    ANCHORS,
    BadInput,
    Settings,
    new_settings,
    parse_command,
    refuse_disagreeing_flags,
)


@pytest.mark.parametrize("anchor", sorted(ANCHORS))
def test_settings_survive_the_ledger(anchor: str) -> None:
    """Names and texts give back the very same settings."""
    assert Settings.from_pairs(ANCHORS[anchor].pairs()) == ANCHORS[anchor]


@given(rate=st.floats(allow_nan=False), seed=st.integers(0, 2**31 - 1))
def test_settings_keep_every_bit_of_a_float(rate: float, seed: int) -> None:
    """A learning rate comes back as the same float64."""
    settings = new_settings({"learning_rate": rate, "seed": seed}, world_size=1, threads=2)
    assert Settings.from_pairs(settings.pairs()) == settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", "0"], "argument --steps: must be a whole number from 1 to 2147483647, not '0'"),
        (["--steps", "many"], "argument --steps: must be a whole number from 1 to 2147483647, not 'many'"),
        (["--vocab", "256"], "argument --vocab: must be a whole number from 257 to 2147483647, not '256'"),
        (["--context", "1"], "argument --context: must be a whole number from 2 to 2147483647, not '1'"),
        (["--seed", "-1"], "argument --seed: must be a whole number from 0 to 2147483647, not '-1'"),
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
    changed = {
        name: value
        for (name, value), (_, before) in zip(settings.pairs(), ANCHORS["smoke"].pairs(), strict=True)
        if value != before
    }
    assert changed == {"steps": "50", "warmup_steps": "5"}


def test_a_resume_refuses_a_flag_that_disagrees() -> None:
    """The ledger's word counts; a flag that repeats it is fine."""
    refuse_disagreeing_flags("r", {"steps": 200}, ANCHORS["smoke"])
    with pytest.raises(BadInput) as refused:
        refuse_disagreeing_flags("r", {"micro_steps": 2}, ANCHORS["smoke"])
    assert str(refused.value) == "run r was started with --micro-steps 1, not 2; resume it without --micro-steps"
