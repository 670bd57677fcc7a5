"""The batches of a run, derived from its contracts and the corpus's shards as training should have consumed them."""

import hashlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa

from psion_ledger import events
from psion_ledger.contracts import Contracts, TokenizedCorpus
from psion_ledger.digest import canonical_json, sha256
from psion_ledger.errors import CannotDecide
from psion_ledger.log import files
from psion_ledger.orders import Order
from psion_ledger.orders.materialised import NOWHERE

CHUNK_POSITIONS = 1 << 16
HELD_BYTES_MAX = 256 << 20
Tokens = bytes | mmap.mmap


def declared_corpus_digest(corpus: TokenizedCorpus) -> bytes:
    """One digest for all shards: sha256 over the canonical JSON of shard id -> `sha256:<hex>`, 32 bytes."""
    return sha256(canonical_json({shard.shard_id: shard.shard_digest for shard in corpus.shards}))


def corpus_of(contracts: Contracts) -> TokenizedCorpus:
    """The declared corpus. Raises CannotDecide where none is: nothing says which shards there are."""
    if contracts.tokenized_corpus is None:
        raise CannotDecide("no corpus is declared, so nothing says which shards hold the sequences")
    return contracts.tokenized_corpus


class Shards:
    """The token shards of a corpus, hashed against their contract. Close it."""

    def __init__(self, contracts: Contracts, folder: Path) -> None:
        plan, corpus = contracts.sampling_plan, corpus_of(contracts)
        if plan.sequence_tokens is None or plan.unit != "sequence" or plan.targets == "given":
            raise CannotDecide("only sequences of one length, with targets by rule, are replayed from shards by now")
        self._tokens = plan.sequence_tokens
        self._type = pa.uint16() if plan.token_dtype == "uint16" else pa.uint32()
        self._width = self._type.bit_width // 8
        self._maps: list[mmap.mmap] = []
        self._starts: list[tuple[int, int, Tokens]] = []
        self._held_bytes = 0
        shards = {shard.shard_id: shard for shard in corpus.shards}
        for family in plan.families:
            first = family.first_sequence_id
            for shard_id in family.shard_ids:
                shard = shards[shard_id]
                mapped = self._open(folder / Path(shard.storage_ref).name, shard.shard_digest)
                self._starts.append((first, first + shard.sequence_count, mapped))
                first += shard.sequence_count
        self._families = [(f.first_sequence_id, f.end_sequence_id, f.source_family_id) for f in plan.families]

    def _open(self, path: Path, digest: str) -> Tokens:
        """The bytes of a shard, opened once: as long as they fit, the very bytes that were hashed, in memory. Larger
        corpora are mapped, and who can write to them meanwhile can change what is read."""
        try:
            fd = files.open_regular(path)
        except FileNotFoundError:
            raise CannotDecide(
                f"the corpus is not at hand: {path} is missing; pass the folder of its shards with --corpus"
            ) from None
        with os.fdopen(fd, "rb") as file:
            size = os.fstat(fd).st_size
            self._held_bytes += size
            data: Tokens
            if self._held_bytes <= HELD_BYTES_MAX or size == 0:
                data = file.read()
            else:
                data = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
                self._maps.append(data)
        actual = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if actual != digest:
            raise CannotDecide(f"{path} is not the shard that the contracts name: it has {actual}, they name {digest}")
        return data

    def content(self, sequence_ids: list[int]) -> tuple[list[events.FamilyTokens], int, bytes]:
        """Tokens of each family (sorted), their total, and the sha256 of the ids as little-endian uint32. Raises
        CannotDecide for a sequence that no shard holds."""
        size = self._tokens * self._width
        raw = bytearray()
        families: dict[str, int] = {}
        for sequence_id in sequence_ids:
            held = next((s for s in self._starts if s[0] <= sequence_id < s[1]), None)
            if held is None:
                raise CannotDecide(f"no shard that the contracts name holds sequence {sequence_id}")
            first, _, mapped = held
            offset = (sequence_id - first) * size
            raw += mapped[offset : offset + size]
            family = next(name for first, end, name in self._families if first <= sequence_id < end)
            families[family] = families.get(family, 0) + self._tokens
        tokens = pa.Array.from_buffers(self._type, len(raw) // self._width, [None, pa.py_buffer(bytes(raw))])
        widened = tokens.cast(pa.uint32()).buffers()[1]
        digest = hashlib.sha256(memoryview(widened)[: len(tokens) * 4]).digest()
        counted = [events.FamilyTokens(source_family_id=name, tokens=families[name]) for name in sorted(families)]
        return counted, len(tokens), digest

    def close(self) -> None:
        for mapped in self._maps:
            mapped.close()


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
    order: Order, targets: str, cells: list[Cell], shards: Shards, pass_id: str
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
            families, tokens, digest = shards.content(own)
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
