"""What cannot work is refused at once: before the text is tokenized or anything is made, in one line, with exit 2."""

import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.trainer.command import REMINDER, Place
from tests.trainer.tiny import write_corpus
from trainer import sizes, tokenizer
from trainer.__main__ import main
from trainer.config import ANCHORS, BadInput
from trainer.document import Document

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    write_corpus(place.corpus, documents=6)
    return place


def refusal(place: Place, capfd: pytest.CaptureFixture[str], *flags: str) -> tuple[list[str], str]:
    """The phases that it came to, and its line; nothing is made."""
    before = sorted(place.corpus.parent.iterdir())
    assert main(place.start("r", *flags)) == 2
    out, err = capfd.readouterr()
    *said, line = err.splitlines()
    phases = [words for words in said if not REMINDER.search(words)]
    assert (out, sorted(place.corpus.parent.iterdir())) == ("", before)
    return phases, line.removeprefix("python -m trainer: ")


@pytest.mark.parametrize(
    ("flags", "phases", "line"),
    [
        ("--micro-steps 3", [], "a batch of 4 sequences does not divide into 1 ranks x 3 micro steps; give --batch a "
         "multiple of 3"),
        ("--batch 100000", ["reading the text"], r"a batch of 100,000 sequences of 16 tokens is more than the text "
         r"holds \(at most \d+ sequences\); give a smaller --batch, or more text"),
        ("--context 100000", ["reading the text"], "the text is too small: family 'held_out_documents' has at most "
         r"[\d,]+ tokens in its held_out split, and one sequence takes 100,000; add text, or give a smaller --context"),
        ("--steps 1 --batch 1", ["reading the text"], "1 steps of 1 sequences would never draw some of the 2 source "
         "families; give --steps 2 or more"),
        ("--steps 2147483647", ["reading the text", "loading"], r"[\d,]+ checkpoints of 2,147,483,647 steps take at "
         r"least [\d,.]+ GiB, and \S+ has [\d,.]+ GiB free; give --steps \d+ or less, or name a larger disk with "
         "--artifacts"),
    ],
)  # fmt: skip
def test_a_size_that_does_not_fit_is_refused(
    place: Place, capfd: pytest.CaptureFixture[str], flags: str, phases: list[str], line: str
) -> None:
    """Too many sequences, tokens or steps for this text and this disk."""
    came_to, told = refusal(place, capfd, *flags.split())
    assert (came_to, re.fullmatch(line, told) is not None) == (phases, True), told


def test_a_step_that_needs_more_memory_than_there_is_is_refused(
    place: Place, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of 16 MiB."""
    monkeypatch.setattr("trainer.environment.machine_bytes", lambda: 16 << 20)
    came_to, told = refusal(place, capfd, "--vocab", "2147483647")
    assert came_to == ["reading the text", "loading"]
    assert re.fullmatch(
        r"a step needs at least [\d.]+ GiB of memory, and there are 0.0 GiB; give more --micro-steps than 1, or less "
        "--batch, --context or --vocab",
        told,
    ), told


def test_a_vocabulary_beyond_the_text_is_what_the_text_gives(place: Place) -> None:
    """The tokenizer would take memory for as many tokens as it is asked for, and abort."""
    settings = replace(ANCHORS["smoke"], vocab=2**31 - 1)
    documents = [Document(split="train", source_family_id="a", source_id="a", document_id="a", text="aé" * 9)]
    most = sizes.vocab_most(settings, documents)
    assert most == 257 + 27
    assert 257 < tokenizer.train_tokenizer(documents, most).get_vocab_size() <= most


def test_nothing_is_refused_that_would_fit() -> None:
    """A vocabulary of bytes alone makes the bounds exact: what packing refuses is refused, and nothing else is."""
    source, outcomes = random.Random(8), set()
    for _ in range(60):
        documents = [
            Document(split=split, source_family_id=family, source_id=family, document_id=f"{family}{number}",
                     text="".join(source.choices("abcdé", k=source.randrange(1, 40))))
            for split, family in (("held_out", "h"), ("train", "a"), ("train", "b"), ("validation", "a"))
            for number in range(source.randrange(1, 4))
        ]  # fmt: skip
        settings = replace(ANCHORS["smoke"], vocab=257, context=source.randrange(2, 24), batch=source.randrange(1, 12))
        encoder = tokenizer.train_tokenizer(documents, sizes.vocab_most(settings, documents))
        groups = {
            (split, family): sum(
                len(encoder.encode(d.text).ids) + 1
                for d in documents
                if (d.split, d.source_family_id) == (split, family)
            )
            for split, family in {(d.split, d.source_family_id) for d in documents}
        }
        sequences = {key: tokens // settings.context for key, tokens in groups.items()}
        fits = min(sequences.values()) > 0 and settings.batch <= sequences["train", "a"] + sequences["train", "b"]
        try:
            sizes.refuse_beyond_text(settings, documents)
            refused = False
        except BadInput:
            refused = True
        assert refused == (not fits), (settings, groups)
        outcomes.add(refused)
    assert outcomes == {True, False}


def test_more_families_than_shares_are_refused() -> None:
    """Each is drawn in at least one of 10,000."""
    documents = [
        Document(split=split, source_family_id=f"f{number}", source_id="s", document_id="d", text="text")
        for number in range(10_001)
        for split in ("train", "validation")
    ]
    settings = replace(ANCHORS["smoke"], context=2, steps=2000)
    sizes.refuse_beyond_text(settings, documents[2:])
    with pytest.raises(BadInput, match=r"the text has 10,001 source families, and shares are in 1/10,000; join some"):
        sizes.refuse_beyond_text(settings, documents)


MEASURED = """
import re
from pathlib import Path
import torch
from tests.trainer.test_refusals import BATCH, SETTINGS
from trainer import binding
from trainer.model import CompactDecoder, initialise, token_losses
size = binding.model_size(SETTINGS, SETTINGS.vocab)
block = {"attention": {"head_count": 4}, "feed_forward": {"intermediate_size": 512}}
model = CompactDecoder({"hidden_size": size.hidden_size, "layer_count": size.layer_count, "vocab_size": size.vocab,
                        "max_context": SETTINGS.context, "block": block})
initialise(model, 1)
assert sum(part.numel() for part in model.parameters()) == size.parameters
def peak():  # What getrusage says may be the peak of the process that forked this one.
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
before = peak()
token_losses(model, torch.zeros((BATCH, SETTINGS.context), dtype=torch.int64)).sum().backward()
print((peak() - before) * 1024, size.step_bytes(BATCH, SETTINGS.context, 4))
"""
SETTINGS, BATCH = ANCHORS["smoke"], 64


@pytest.mark.slow
def test_the_least_memory_of_a_step_is_less_than_what_it_takes() -> None:
    """And more than half of it: measured in a process of its own, for 64 sequences of the smoke anchor."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], cwd=REPOSITORY, capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )  # fmt: skip
    taken, least = map(int, done.stdout.split())
    assert taken / 2 < least < taken


# ---- The text ----


def test_a_corpus_with_a_binary_file_is_refused(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """With the file's name, before torch is loaded."""
    (place.corpus / "prose" / "image.bin").write_bytes(b"\x89PNG\r\n\x1a\n")
    came_to, told = refusal(place, capfd)
    assert came_to == ["reading the text"]
    assert told == (
        f"corpus {place.corpus}: prose/image.bin is not UTF-8 at byte 0; convert it, or move it out of the folder"
    )


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _folder(path: Path) -> None:
    path.symlink_to("..", target_is_directory=True)


@pytest.mark.parametrize(
    ("make", "name", "line"),
    [
        (_fifo, "prose/a.txt", "prose/a.txt is no regular file; move it out of the folder"),
        (_fifo, "rows.jsonl", "rows.jsonl is no regular file; move it out of the folder"),
        (_fifo, "rows.parquet", "rows.parquet is no regular file; move it out of the folder"),
        (_endless, "prose/a.txt", "prose/a.txt is no regular file; move it out of the folder"),
        (_endless, "rows.jsonl", "rows.jsonl is no regular file; move it out of the folder"),
        (_dangling, "prose/a.txt", "prose/a.txt cannot be read: No such file or directory; mend that, or move it out "
         "of the folder"),
        (_folder, "prose/more", "prose/more is a link to a folder, and what is in it would be left out; put the folder "
         "itself there"),
    ],
)  # fmt: skip
def test_only_regular_files_are_read(
    place: Place, capfd: pytest.CaptureFixture[str], make: object, name: str, line: str
) -> None:
    """None is waited for, and none is left out in silence."""
    assert callable(make)
    make(place.corpus / name)
    came_to, told = refusal(place, capfd)
    assert came_to == ["reading the text"]
    assert told.endswith(line)


def test_a_link_to_a_file_is_read(place: Place) -> None:
    """Data folders are full of them."""
    outside = place.corpus.parent / "outside.txt"
    outside.write_text("a text of its own", encoding="utf-8")
    (place.corpus / "prose" / "linked.txt").symlink_to(outside)
    from trainer.corpus import load_documents

    assert "a text of its own" in [document.text for document in load_documents(str(place.corpus))]


# ---- The folders ----


@pytest.mark.parametrize("flag", ["--ledger", "--artifacts"])
def test_a_folder_that_cannot_be_made_is_refused_before_the_text_is_read(
    place: Place, capfd: pytest.CaptureFixture[str], flag: str
) -> None:
    """A file stands in its place."""
    taken = place.corpus.parent / "taken"
    taken.write_text("", encoding="utf-8")
    place.folders[place.folders.index(flag) + 1] = str(taken / "below")
    assert refusal(place, capfd) == ([], f"{taken} is no folder; give {flag} another")


@pytest.mark.parametrize("flag", ["--ledger", "--artifacts"])
def test_a_folder_that_may_not_be_written_is_refused_before_the_text_is_read(
    place: Place, capfd: pytest.CaptureFixture[str], small_disk: Path, flag: str
) -> None:
    """A file system that is mounted read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    place.folders[place.folders.index(flag) + 1] = str(small_disk / "new")
    assert refusal(place, capfd) == (
        [], f"{small_disk} may not be written (permission); give {flag} another folder"
    )  # fmt: skip


def test_artifacts_without_a_run_are_not_told_to_be_resumed(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """There is nothing to resume: the folder can go."""
    (place.artifacts / "r").mkdir(parents=True)
    assert refusal(place, capfd) == (
        [], f"{place.artifacts / 'r'} exists, and no run of that name; remove it, or choose another --run-id"
    )  # fmt: skip
