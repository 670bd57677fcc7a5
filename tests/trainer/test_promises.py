"""The contracts that the trainer writes: they hold, they are a function of the text, and weights add up."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psion_ledger.contracts import Contracts, ModelDescriptor
from psion_ledger.contracts.steps import cells, positions_of
from psion_ledger.orders import check_contracts
from tests.trainer.tiny import settings, write_corpus
from trainer import beginning
from trainer.config import ANCHORS, BadInput, Settings
from trainer.order import micro_batch_positions
from trainer.promises import largest_remainder

T = TypeVar("T")


def prepare(
    chosen: Settings, run_id: str, artifacts: Path, world_size: int = 1
) -> tuple[Contracts, list[tuple[bytes, int]]]:
    return beginning.prepare(chosen, beginning.read_text(chosen), run_id, artifacts, world_size)


def of(document: T | None) -> T:
    """A document that this trainer always promises."""
    assert document is not None
    return document


@given(counts=st.dictionaries(st.text(max_size=3), st.integers(1, 10**12), min_size=1, max_size=20))
def test_largest_remainder_gives_every_family_a_share(counts: dict[str, int]) -> None:
    """Shares sum to 10,000, none is 0, and none is a whole point away from its proportion of the rest."""
    shares = largest_remainder(counts)
    total, seats = sum(counts.values()), 10_000 - len(counts)
    assert sum(shares.values()) == 10_000
    assert min(shares.values()) >= 1
    assert all(abs((shares[name] - 1) * total - counts[name] * seats) < total for name in counts)


def test_a_folder_is_weighted_by_its_tokens(tmp_path: Path) -> None:
    """Families of equal size get equal weights; a family of code counts as code."""
    documents, _ = prepare(settings(write_corpus(tmp_path / "text")), "r", tmp_path / "r")
    contracts = documents
    assert check_contracts(contracts) == []
    policy = of(documents.sampling_policy)
    classes = {w.source_family_id: w.content_class for w in policy.source_family_weights}
    assert classes == {"code": "code", "prose": "prose"}
    tokens = {f.source_family_id: f.tokens for f in contracts.sampling_plan.families if f.split_kind == "train"}
    assert policy.weights == largest_remainder(tokens)


def test_equal_text_gives_equal_contracts(tmp_path: Path) -> None:
    """Prepared twice, every document and every shard has the same bytes."""
    chosen = settings(write_corpus(tmp_path / "text"))
    first, second = (prepare(chosen, "r", tmp_path / name) for name in ("a", "b"))
    assert first == second
    shards = [{path.name: path.read_bytes() for path in (tmp_path / name / "corpus").iterdir()} for name in ("a", "b")]
    assert shards[0] == shards[1]


def test_other_text_is_another_dataset(tmp_path: Path) -> None:
    """One changed letter of the training text changes the dataset's version."""
    folder = write_corpus(tmp_path / "text")
    before, _ = prepare(settings(folder), "r", tmp_path / "a")
    for path in (folder / "prose").iterdir():
        path.write_text(path.read_text(encoding="utf-8") + "!", encoding="utf-8")
    after, _ = prepare(settings(folder), "r", tmp_path / "b")
    identities = {promised.sampling_plan.dataset_identity for promised in (before, after)}
    assert len(identities) == 2


def test_evaluation_sets_are_spread_over_each_range(tmp_path: Path) -> None:
    """Four sequences of each family of each split, as far apart as they go, with as much before as behind them;
    train's is called a probe."""
    documents, _ = prepare(settings(write_corpus(tmp_path / "text")), "r", tmp_path / "r")
    plan = documents.sampling_plan
    for declared, family in zip(plan.evaluation_sets, plan.families, strict=True):
        assert declared.evaluation_set == ("train_probe" if family.split_name == "train" else family.split_name)
        assert (declared.split_name, declared.source_family_id) == (family.split_name, family.source_family_id)
        first, end, stride = declared.first_sequence_id, declared.end_sequence_id, declared.stride
        assert first is not None
        assert end is not None
        assert stride is not None
        before, behind = first - family.first_sequence_id, family.end_sequence_id - end
        assert (declared.sequences, stride) == (4, family.sequences // 4)
        assert before in (behind, behind - 1)
        assert 0 <= before < stride
        assert len(range(first, end, stride)) == 4


@pytest.mark.parametrize(("world_size", "micro_steps", "micro_batch"), [(1, 1, 4), (1, 2, 2), (2, 1, 2), (2, 2, 1)])
def test_the_plan_deals_a_step_as_training_takes_it(
    tmp_path: Path, world_size: int, micro_steps: int, micro_batch: int
) -> None:
    """By rank and then micro step: what each takes is what the plan's rule gives it."""
    chosen = replace(settings(write_corpus(tmp_path / "text")), micro_steps=micro_steps)
    documents, _ = prepare(chosen, "r", tmp_path / "r", world_size)
    plan = documents.sampling_plan
    assert plan.batch.micro_batch_sequences == micro_batch
    for step in (1, 6):
        assert [
            (rank, micro_step, micro_batch_positions(
                step, global_batch=4, world_size=world_size, micro_steps=micro_steps, rank=rank, micro_step=micro_step
            ))
            for rank in range(world_size)
            for micro_step in range(micro_steps)
        ] == [
            (cell.rank, cell.micro_step, cell.positions) for cell in cells(plan, positions_of(plan, step), world_size)
        ]  # fmt: skip


def test_a_horizon_that_leaves_a_family_out_is_refused(tmp_path: Path) -> None:
    """A family that is small is drawn late; the line names the shortest horizon that draws it."""
    folder = write_corpus(tmp_path / "text")
    (folder / "rare").mkdir()
    for number in range(3):
        (folder / "rare" / f"{number}.txt").write_text(f"rare{number} " * 8, encoding="utf-8")
    chosen = replace(settings(folder), steps=1)
    with pytest.raises(BadInput) as refused:
        prepare(chosen, "r", tmp_path / "r")
    told = re.fullmatch(
        r"1 steps of 4 sequences would never draw some source family; give --steps (\d+) or more", str(refused.value)
    )
    assert told is not None
    fewest = int(told[1])
    prepare(replace(chosen, steps=fewest), "r", tmp_path / "r")
    with pytest.raises(BadInput):
        prepare(replace(chosen, steps=fewest - 1), "r", tmp_path / "r")


@pytest.mark.slow
def test_the_default_corpus_keeps_its_mix(tmp_path: Path) -> None:
    """The Python text: 15 % reference, 30 % docstrings, 55 % code, and contracts that hold."""
    documents, _ = prepare(ANCHORS["smoke"], "r", tmp_path)
    assert check_contracts(documents) == []
    assert of(documents.sampling_policy).weights == {
        "language_reference": 1500,
        "library_code": 5500,
        "library_docstrings": 3000,
    }
    descriptor = documents.model_descriptor
    assert isinstance(descriptor, ModelDescriptor)
    assert descriptor.parameter_count_estimate == 1_602_304
