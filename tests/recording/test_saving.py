"""Checkpoints are hashed behind training's back: in order, and what fails there is raised where training is."""

from functools import partial

import pytest

from psion_ledger.recording.saving import Saver, role_of


def test_tasks_are_done_in_their_order() -> None:
    """One after another, however they are handed over."""
    done: list[int] = []
    saver = Saver()
    for number in range(20):
        saver.do(partial(done.append, number))
    saver.wait()
    saver.close()
    assert done == list(range(20))


@pytest.mark.parametrize("error", [OSError("a disk"), ValueError("a bug"), RuntimeError("another")], ids=repr)
def test_a_task_that_fails_is_raised_and_nobody_waits_for_ever(error: Exception) -> None:
    """Whatever it raises: those behind it are not done, and the next call says why."""
    done: list[str] = []

    def fail() -> None:
        raise error

    saver = Saver()
    saver.do(fail)
    with pytest.raises(type(error)) as raised:
        saver.wait()
    assert raised.value is error
    saver.do(lambda: done.append("after"))
    saver.wait()
    saver.close()
    assert done == ["after"]


def test_files_have_roles_by_their_names() -> None:
    """What the caller says comes first; then the names that libraries give."""
    names = [
        "model.safetensors",
        "model.safetensors.index.json",
        "optimizer.pt",
        "rng-00000.safetensors",
        "__0_0.distcp",
    ]
    assert [role_of(name, {}) for name in names] == ["weights", "other", "optimizer", "rng", "weights"]
    assert role_of("shard-7.bin", {"shard-*.bin": "weights"}) == "weights"
    assert role_of("config.json", {}) == "other"
