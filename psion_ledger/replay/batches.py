"""The batches of a run, derived from its contracts and the corpus's files as training should have consumed them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from psion_ledger import events
from psion_ledger.contracts import Contracts, TokenData, TokenizedCorpus, TokenType
from psion_ledger.data.reading import Piece, Tokens
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.orders import Order
from psion_ledger.orders.materialised import NOWHERE

CHUNK_POSITIONS = 1 << 16


def declared_corpus_digest(corpus: TokenizedCorpus | TokenData) -> bytes:
    """One digest for all files, 32 bytes: sha256 over the canonical JSON of shard id -> `sha256:<hex>`, or of file id
    -> hex."""
    if isinstance(corpus, TokenData):
        return corpus.digest
    return sha256(canonical_json({shard.shard_id: shard.shard_digest for shard in corpus.shards}))


def corpus_of(contracts: Contracts) -> TokenizedCorpus | TokenData:
    """The declared data. Raises CannotDecide where there is none: nothing says which files there are."""
    if contracts.token_data is not None:
        return contracts.token_data
    if contracts.tokenized_corpus is None:
        raise CannotDecide("no corpus is declared, so nothing says which shards hold the sequences")
    return contracts.tokenized_corpus


class Corpus(Protocol):
    """The sequences of a plan. Close it."""

    def content(self, sequence_ids: list[int]) -> tuple[list[events.FamilyTokens], int, bytes]:
        """Tokens of each family (sorted), their total, and the sha256 of the ids as little-endian uint32. Raises
        CannotDecide for a sequence that no file holds."""
        ...

    def close(self) -> None: ...


def opened_corpus(contracts: Contracts, folder: Path) -> Corpus:
    """The declared data in a folder, hashed against its contract. Raises CannotDecide where it is not there, is not the
    declared one, or is not to be replayed: sequences that are known by their content alone have no place in a file, and
    targets that the trainer gave follow from no token."""
    plan, corpus = contracts.sampling_plan, corpus_of(contracts)
    if plan.unit == "content" or plan.targets == "given":
        raise CannotDecide("only sequences with ids, with targets by rule, are replayed from files by now")
    if isinstance(corpus, TokenData):
        return Tokens(plan, corpus, folder)
    if plan.sequence_tokens is None or plan.unit != "sequence" or plan.token_dtype is None:
        raise CannotDecide("only sequences of one length are replayed from the shards of a tokenized corpus")
    return Tokens(plan, _shards(corpus, plan.sequence_tokens, plan.token_dtype), folder)


def _shards(corpus: TokenizedCorpus, sequence_tokens: int, dtype: TokenType) -> dict[str, Piece]:
    """The shards as raw files; each is looked for by its name alone, wherever its `storage_ref` points."""
    return {
        shard.shard_id: Piece(
            path=Path(shard.storage_ref).name, sha256=shard.shard_digest.removeprefix("sha256:"), format="raw",
            dtype=dtype, sequences=shard.sequence_count, tokens=shard.sequence_count * sequence_tokens,
        )
        for shard in corpus.shards
    }  # fmt: skip


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A batch to be derived: `sequences` positions, `stride` apart, from `first_position` on."""

    step: int
    micro_step: int
    first_position: int
    stride: int
    sequences: int

    @property
    def end_position(self) -> int:
        return self.first_position + (self.sequences - 1) * self.stride + 1


def batches(
    order: Order, targets: str, cells: list[Cell], corpus: Corpus, pass_id: str
) -> Iterator[events.BatchReplayed]:
    """Each batch (in order of steps) with the sequences that the order puts at its positions, and their content."""
    for chunk in _chunks(cells):
        first = min(cell.first_position for cell in chunk)
        ids = order.sequence_ids(first, max(cell.end_position for cell in chunk))
        for cell in chunk:
            own = ids[cell.first_position - first : cell.end_position - first : cell.stride].tolist()
            if NOWHERE in own:
                position = cell.first_position + own.index(NOWHERE) * cell.stride
                raise CannotDecide(f"the order names no train sequence at position {position}")
            families, tokens, digest = corpus.content(own)
            yield events.BatchReplayed(
                pass_id=pass_id, step=cell.step, micro_step=cell.micro_step, first_position=cell.first_position,
                stride=cell.stride, sequences=cell.sequences, sequence_ids=own, sequence_sha256s=[],
                family_tokens=families, tokens=tokens, token_sha256=digest,
                target_tokens=tokens - len(own) if targets == "all_but_first" else tokens,
            )  # fmt: skip


def _chunks(cells: list[Cell]) -> Iterator[list[Cell]]:
    """Whole steps together, so that the positions of a chunk are neighbours."""
    chunk, positions = list[Cell](), 0
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        chunk.append(cell)
        positions += cell.sequences
        if following is None or (positions >= CHUNK_POSITIONS and following.step != cell.step):
            yield chunk
            chunk, positions = [], 0
