"""The order of a run, written a second time and vectorised, and its batches re-derived from contracts and shards.

The trainer has the order too, one position at a time; the two share test vectors and no code. Positions, draws and
sequence ids are int64 columns; a permutation is a keyed Feistel network with cycle walking, O(1) in memory (Black
and Rogaway, "Ciphers with arbitrary finite domains", 2002), its round function the finaliser of splitmix64 (Steele,
Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
"""

import hashlib
import mmap
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from psion_ledger import catalog, events, log
from psion_ledger.contracts import Contracts, PlanFamily, TokenizedCorpus, check_contracts, cycle_slots
from psion_ledger.digest import canonical_json, length_prefixed, sha256, sha256_file
from psion_ledger.errors import CannotDecide
from psion_ledger.ledger import Run
from psion_ledger.log import columns
from psion_ledger.record import read

CYCLE_SLOTS = 10_000
ROUNDS = 8
CHUNK_POSITIONS = 1 << 16
_FIELDS = (
    "step",
    "micro_step",
    "first_position",
    "end_position",
    "sequence_ids",
    "family_tokens",
    "tokens",
    "token_sha256",
)
REPLAYED_SCHEMA = pa.schema([columns.schema("batch_replayed").field(name) for name in _FIELDS])


def _u64(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.uint64())


def round_keys(seed: int, family: str, permutation: int) -> list[int]:
    """The Feistel network's keys, one uint64 a round, from the replay contract's seed."""
    prefix = b"psion-ledger/v1/permutation\0"
    return [
        int.from_bytes(
            sha256(prefix + length_prefixed(*(str(p).encode() for p in (seed, family, permutation, number))))[
                :8
            ],
            "little",
        )
        for number in range(ROUNDS)
    ]


def _mixed(values: pa.Array) -> pa.Array:
    """splitmix64's finaliser; uint64 arithmetic wraps."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = pc.multiply(pc.bit_wise_xor(values, pc.shift_right(values, _u64(shift))), _u64(factor))
    return pc.bit_wise_xor(values, pc.shift_right(values, _u64(31)))


def permuted(places: pa.Array, size: int, keys: list[int]) -> pa.Array:
    """Where a bijection of 0..size-1 takes each place (uint64)."""
    half_bits = max(1, ((size - 1).bit_length() + 1) // 2)
    half, mask = _u64(half_bits), _u64((1 << half_bits) - 1)

    def encrypted(values: pa.Array) -> pa.Array:
        left, right = pc.shift_right(values, half), pc.bit_wise_and(values, mask)
        for key in keys:
            left, right = (
                right,
                pc.bit_wise_xor(left, pc.bit_wise_and(_mixed(pc.add(right, _u64(key))), mask)),
            )
        return pc.bit_wise_or(pc.shift_left(left, half), right)

    walked = encrypted(places)
    while pc.any(outside := pc.greater_equal(walked, _u64(size))).as_py():
        walked = pc.replace_with_mask(walked, outside, encrypted(walked.filter(outside)))
    return walked


class Order:
    """Which sequence stands at each position: the plan's families, the policy's slots, the contract's seed."""

    def __init__(self, contracts: Contracts) -> None:
        weights = {
            w.source_family_id: w.sampling_weight_bps for w in contracts.sampling_policy.source_family_weights
        }
        self._seed = contracts.sampling_plan.sampler_seed
        self._families = [f for f in contracts.sampling_plan.families if f.split_kind == "train"]
        place = {family.source_family_id: index for index, family in enumerate(self._families)}
        drawn = dict.fromkeys(weights, 0)
        family_of_slot, draw_of_slot = [], []
        for family in cycle_slots(weights):
            family_of_slot.append(place[family])
            draw_of_slot.append(drawn[family])
            drawn[family] += 1
        self._family_of_slot = pa.array(family_of_slot, pa.int64())
        self._draw_of_slot = pa.array(draw_of_slot, pa.int64())
        self._weights = [weights[family.source_family_id] for family in self._families]

    def sequence_ids(self, first: int, end: int) -> pa.Array:
        """The sequence id (int64) at each position in [first, end)."""
        positions = pa.array(range(first, end), pa.int64())
        cycles = pc.divide(positions, CYCLE_SLOTS)
        slots = pc.subtract(positions, pc.multiply(cycles, CYCLE_SLOTS))
        families, in_cycle = self._family_of_slot.take(slots), self._draw_of_slot.take(slots)
        rows, ids = [], []
        for index, family in enumerate(self._families):
            here = pc.indices_nonzero(pc.equal(families, index))
            draws = pc.add(pc.multiply(cycles.take(here), self._weights[index]), in_cycle.take(here))
            rows.append(here)
            ids.append(self._drawn(family, draws))
        order = pc.sort_indices(pa.concat_arrays(rows))
        return pa.concat_arrays(ids).take(order)

    def _drawn(self, family: PlanFamily, draws: pa.Array) -> pa.Array:
        permutations = pc.divide(draws, family.sequences)
        places = pc.subtract(draws, pc.multiply(permutations, family.sequences)).cast(pa.uint64())
        # Draws ascend, so each permutation is one run of them.
        found = [
            permuted(
                places.filter(pc.equal(permutations, number)),
                family.sequences,
                round_keys(self._seed, family.source_family_id, number),
            )
            for number in pc.unique(permutations).to_pylist()
        ]
        ids = pa.concat_arrays(found).cast(pa.int64()) if found else pa.array([], pa.int64())
        return pc.add(ids, family.first_sequence_id)


def corpus_digest(shard_digests: dict[str, str]) -> bytes:
    """One digest for all shards: sha256 over the canonical JSON of shard id -> `sha256:<hex>`."""
    return sha256(canonical_json(shard_digests))


def declared_corpus_digest(corpus: TokenizedCorpus) -> bytes:
    return corpus_digest({shard.shard_id: shard.shard_digest for shard in corpus.shards})


class Shards:
    """The token shards of a corpus, hashed against their contract and memory-mapped. Close it."""

    def __init__(self, contracts: Contracts, folder: Path) -> None:
        plan, corpus = contracts.sampling_plan, contracts.tokenized_corpus
        self._tokens = plan.sequence_tokens
        self._type = pa.uint16() if plan.token_dtype == "uint16" else pa.uint32()
        self._width = self._type.bit_width // 8
        self._maps: list[mmap.mmap] = []
        self._starts: list[tuple[int, int, mmap.mmap]] = []
        shards = {shard.shard_id: shard for shard in corpus.shards}
        for family in plan.families:
            first = family.first_sequence_id
            for shard_id in family.shard_ids:
                shard = shards[shard_id]
                mapped = self._open(folder / Path(shard.storage_ref).name, shard.shard_digest)
                self._starts.append((first, first + shard.sequence_count, mapped))
                first += shard.sequence_count
        self._families = [(f.first_sequence_id, f.end_sequence_id, f.source_family_id) for f in plan.families]

    def _open(self, path: Path, digest: str) -> mmap.mmap:
        if not path.is_file():
            raise CannotDecide(
                f"the corpus is not at hand: {path} is missing; pass the folder of its shards with --corpus"
            )
        actual = f"sha256:{sha256_file(path).hex()}"
        if actual != digest:
            raise CannotDecide(
                f"{path} is not the shard that the contracts name: it has {actual}, they name {digest}"
            )
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._maps.append(mapped)
        return mapped

    def content(self, sequence_ids: list[int]) -> tuple[list[events.FamilyTokens], int, bytes]:
        """Tokens of each family (sorted), their total, and the sha256 of the ids as little-endian uint32."""
        size = self._tokens * self._width
        raw = bytearray()
        families: dict[str, int] = {}
        for sequence_id in sequence_ids:
            first, _, mapped = next(s for s in self._starts if s[0] <= sequence_id < s[1])
            offset = (sequence_id - first) * size
            raw += mapped[offset : offset + size]
            family = next(name for first, end, name in self._families if first <= sequence_id < end)
            families[family] = families.get(family, 0) + self._tokens
        tokens = pa.Array.from_buffers(self._type, len(raw) // self._width, [None, pa.py_buffer(bytes(raw))])
        widened = tokens.cast(pa.uint32()).buffers()[1]
        digest = hashlib.sha256(memoryview(widened)[: len(tokens) * 4]).digest()
        counted = [
            events.FamilyTokens(source_family_id=name, tokens=families[name]) for name in sorted(families)
        ]
        return counted, len(tokens), digest

    def close(self) -> None:
        for mapped in self._maps:
            mapped.close()


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """How the steps above `cut_step` were cut into batches, until a later attempt's cut."""

    cut_step: int
    world_size: int
    micro_steps: int


def batches(
    contracts: Contracts, attempts: list[Attempt], end_step: int, shards: Shards, pass_id: str
) -> Iterator[events.BatchReplayed]:
    """Every batch of the steps [1, end_step), by position, as the contracts give it."""
    order = Order(contracts)
    batch = contracts.sampling_plan.global_batch_sequences
    steps_a_chunk = max(1, CHUNK_POSITIONS // batch)
    for chunk in range(1, end_step, steps_a_chunk):
        end = min(chunk + steps_a_chunk, end_step)
        ids = order.sequence_ids((chunk - 1) * batch, (end - 1) * batch).to_pylist()
        for step in range(chunk, end):
            attempt = _attempt_of(step, attempts, batch)
            parts = attempt.world_size * attempt.micro_steps
            size = batch // parts
            for part in range(parts):
                first = (step - 1) * batch + part * size
                at = first - (chunk - 1) * batch
                families, tokens, digest = shards.content(ids[at : at + size])
                yield events.BatchReplayed(
                    pass_id=pass_id, step=step, micro_step=part % attempt.micro_steps, first_position=first,
                    end_position=first + size, sequence_ids=ids[at : at + size], family_tokens=families,
                    tokens=tokens, token_sha256=digest,
                )  # fmt: skip


def _attempt_of(step: int, attempts: list[Attempt], batch: int) -> Attempt:
    attempt = next((a for a in reversed(attempts) if a.cut_step < step), None)
    if attempt is None:
        raise CannotDecide(f"step {step} belongs to no attempt: how its batch was cut is not recorded")
    if batch % (attempt.world_size * attempt.micro_steps):
        raise CannotDecide(
            f"step {step}: {attempt.world_size} ranks x {attempt.micro_steps} micro steps do not divide the batch of {batch}"
        )
    return attempt


def _derived(run: Run, corpus: Path, pass_id: str) -> list[events.BatchReplayed]:
    if broken := check_contracts(run.contracts):
        raise CannotDecide(
            f"run {run.run_id}: its contracts do not hold, so no order follows from them: {broken[0].pointer}: "
            f"{broken[0].code}: expected {broken[0].expected}, found {broken[0].actual}"
        )
    run.relate(["attempts", "progress", "promised_steps"])
    found = run.con.sql("select cut_step, world_size, micro_steps from attempts order by attempt").fetchall()
    attempts = [Attempt(cut_step=cut, world_size=world, micro_steps=micro) for cut, world, micro in found]
    row = run.first("select coalesce(max(step), 0) from promised_steps")
    if not attempts or row is None or row[0] == 0:
        raise CannotDecide(f"run {run.run_id}: no step is completed yet, so there is nothing to replay")
    shards = Shards(run.contracts, corpus)
    try:
        return list(batches(run.contracts, attempts, int(row[0]) + 1, shards, pass_id))
    finally:
        shards.close()


def _table(derived: list[events.BatchReplayed]) -> pa.Table:
    types = {f.name: f.type for f in msgspec.structs.fields(events.BatchReplayed)}
    arrays = [columns.array([getattr(batch, name) for batch in derived], types[name]) for name in _FIELDS]
    return pa.table(arrays, schema=REPLAYED_SCHEMA)


def replay_table(run: Run, corpus: Path) -> pa.Table:
    """The batches that training should have consumed, as columns. Raises CannotDecide when the corpus is not at hand."""
    return _table(_derived(run, corpus, "here"))


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What one replay of order and content found. `mismatches` are batches that differ from training's."""

    schema: Literal["psion_ledger.replay.v1"] = "psion_ledger.replay.v1"
    run_id: str
    batches: int
    steps: int
    mismatches: int
    first_mismatch_position: int | None
    findings: list[dict[str, Any]]
    recorded_as: str | None = None


def replay(run: Run, corpus: Path) -> Replay:
    """Re-derive every effective batch and hold it against the record."""
    return _compared(run, _derived(run, corpus, "here"))


def _compared(run: Run, derived: list[events.BatchReplayed]) -> Replay:
    run.con.register("replay_here", _table(derived))
    (law,) = (law for law in catalog.laws() if law.name == "replay_here_agrees")
    findings = run.rows(law)
    first = findings[0]["subject"] if findings else None
    return Replay(
        run_id=run.run_id,
        batches=len(derived),
        steps=derived[-1].step,
        mismatches=len(findings),
        first_mismatch_position=int(str(first).split()[-1]) if first is not None else None,
        findings=findings[:100],
    )


def record_replay(run_folder: Path, corpus: Path, code_version: str) -> Replay:
    """Replay, and append the pass to the ledger as a verification stream of its own."""
    verification_id = f"replay-{secrets.token_hex(4)}"
    with Run(read(run_folder)) as run:
        derived = _derived(run, corpus, verification_id)
        found = _compared(run, derived)
        row = run.first("select max(attempt) from attempts")
        assert row is not None, "steps were completed, so an attempt was started"
        started = events.VerificationStarted(
            verification_id=verification_id, method="content", first_step=1, end_step=found.steps + 1,
            sample_bps=10_000, corpus_digest=declared_corpus_digest(run.contracts.tokenized_corpus),
        )  # fmt: skip
        opened = events.StreamOpened(
            role="verify", attempt=row[0], rank=0, host=socket.gethostname(), pid=os.getpid(),
            code_version=code_version, previous=[],
        )  # fmt: skip
    with log.open_writer(run_folder, opened, stream=f"v.{verification_id}") as writer:
        writer.emit(started)
        for batch in derived:
            writer.emit(batch)
        writer.emit(
            events.VerificationCompleted(
                verification_id=verification_id,
                batches=found.batches,
                mismatches=found.mismatches,
                first_mismatch_position=found.first_mismatch_position,
            )
        )
    return msgspec.structs.replace(found, recorded_as=f"v.{verification_id}")
