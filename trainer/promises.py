"""What the run promises before its first batch, as plain data: corpus manifest, policy and plan.

The model descriptor and the stage config, which follow from them, are made in `emit`, where the documents are
checked and declared. Training then reads everything back from the promises alone: the last functions here.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from trainer.config import PYTHON_TEXT, BadInput, Settings
from trainer.document import Document
from trainer.order import ORDER_NAME, ORDER_VERSION, order_of
from trainer.sizes import TOTAL_BPS
from trainer.tokenizer import END_OF_TEXT, Packed, Shard, token_dtype

CORPUS_SCHEMA = "psion.tokenized_corpus_manifest.v1"
RAW_SOURCE_SCHEMA = "psion.raw_source_manifest.v1"
PACKING_VERSION = "v1"
PREPROCESSING_VERSION = "psion_ledger_trainer_preprocess_v1"
POLICY_ID, POLICY_VERSION = "psion_ledger_pretrain_mix", "v1"
TOKENIZER_ID, TOKENIZER_VERSION = "psion_ledger_byte_bpe", "v1"

# The default corpus: more prose than its size alone would give, so that docstrings are not drowned in code.
_PYTHON_MIX = {
    "language_reference": ("spec_text", 1500),
    "library_docstrings": ("prose", 3000),
    "library_code": ("code", 5500),
}
_SLACK_BPS = 500
_REGRESSION_KINDS = (
    "explanation_quality", "spec_interpretation", "tradeoff_reasoning", "invariant_articulation",
    "coding_fluency",
)  # fmt: skip

Json = dict[str, Any]


def corpus_manifest(
    settings: Settings,
    documents: Sequence[Document],
    packed: Sequence[Packed],
    shards: Sequence[Shard],
    tokenizer_sha256: str,
    vocab: int,
) -> Json:
    """`psion.tokenized_corpus_manifest.v1`; its version is a digest of every token."""
    name = "python_text" if settings.corpus == PYTHON_TEXT else f"corpus_{_slug(Path(settings.corpus).resolve().name)}"
    content = hashlib.sha256("".join([tokenizer_sha256, *(shard.sha256 for shard in shards)]).encode())
    version = content.hexdigest()[:16]
    source_digests = _source_digests(documents)
    sources_of_family: dict[str, set[str]] = defaultdict(set)
    for group in packed:
        sources_of_family[group.source_family_id].update(group.source_ids)
    return {
        "schema_version": CORPUS_SCHEMA,
        "dataset_id": name,
        "dataset_version": version,
        "tokenizer_bundle_schema_version": "psion.tokenizer_artifact_bundle.v1",
        "tokenizer_id": TOKENIZER_ID,
        "tokenizer_version": TOKENIZER_VERSION,
        "tokenizer": {
            "family": "byte_pair_encoding",
            "tokenizer_digest": f"sha256:{tokenizer_sha256}",
            "vocab_size": vocab,
            "special_tokens_digest": f"sha256:{hashlib.sha256(END_OF_TEXT.encode()).hexdigest()}",
        },
        "raw_source_schema_version": RAW_SOURCE_SCHEMA,
        "preprocessing_version": PREPROCESSING_VERSION,
        "packing_policy": {
            "policy_id": "psion_ledger_fixed_length",
            "policy_version": PACKING_VERSION,
            "packing_mode": "pack_into_context_window",
            "max_sequence_tokens": settings.context,
            "overlong_sequence_posture": "drop",
        },
        "replay_contract": {
            "iteration_mode": "repeat",
            "shard_ordering": "deterministic_shuffle",
            "deterministic_shuffle_seed": settings.seed,
            "stable_dataset_identity": f"{name}@{version}",
        },
        "source_family_bindings": [
            {"source_family_id": family, "source_ids": sorted(source_ids)}
            for family, source_ids in sorted(sources_of_family.items())
        ],
        "splits": _splits(packed, shards),
        "shards": [
            _shard(settings, group, shard, tokenizer_sha256, source_digests)
            for group, shard in zip(packed, shards, strict=True)
        ],
    }


def _shard(
    settings: Settings, group: Packed, shard: Shard, tokenizer_sha256: str, source_digests: dict[str, str]
) -> Json:
    """One shard, and the sources whose text is in it."""
    return {
        "shard_id": shard.shard_id,
        "split_name": shard.split,
        "split_kind": shard.split,
        "storage_ref": f"corpus/{shard.shard_id}.bin",
        "shard_digest": f"sha256:{shard.sha256}",
        "sequence_count": len(group.parts),
        "token_count": group.rows.size,
        "min_sequence_tokens": settings.context,
        "max_sequence_tokens": settings.context,
        "tokenizer_digest": f"sha256:{tokenizer_sha256}",
        "source_manifest_schema_version": RAW_SOURCE_SCHEMA,
        "preprocessing_version": PREPROCESSING_VERSION,
        "packing_policy_version": PACKING_VERSION,
        "source_lineage": [
            {
                "source_id": source_id,
                "source_family_id": shard.source_family_id,
                "source_normalized_digest": f"sha256:{source_digests[source_id]}",
            }
            for source_id in group.source_ids
        ],
    }


def _splits(packed: Sequence[Packed], shards: Sequence[Shard]) -> list[Json]:
    pairs = list(zip(packed, shards, strict=True))
    result = []
    for split, members in groupby(pairs, key=lambda pair: pair[1].split):
        own = list(members)
        result.append(
            {
                "split_name": split,
                "kind": split,
                "shard_ids": [shard.shard_id for _, shard in own],
                "source_family_ids": [shard.source_family_id for _, shard in own],
                "sequence_count": sum(len(group.parts) for group, _ in own),
                "token_count": sum(group.rows.size for group, _ in own),
            }
        )
    return result


def _source_digests(documents: Sequence[Document]) -> dict[str, str]:
    """Hex sha256 of each source's text: its documents in id order, ids and texts behind their lengths."""
    digests: dict[str, Any] = defaultdict(hashlib.sha256)
    for document in sorted(documents, key=lambda document: document.document_id):
        for text in (document.document_id, document.text):
            digests[document.source_id].update(len(text.encode()).to_bytes(8, "big") + text.encode())
    return {source_id: digest.hexdigest() for source_id, digest in digests.items()}


def sampling_policy(settings: Settings, manifest: Json, packed: Sequence[Packed]) -> Json:
    """`psion.sampling_policy.v1`: the default corpus by its own mix, any other by its tokens."""
    train = [group for group in packed if group.split == "train"]
    if settings.corpus == PYTHON_TEXT:
        mix = _PYTHON_MIX
        why = "A mix chosen for the Python text: prose above its share of the text, code below it."
    else:
        weights = largest_remainder({group.source_family_id: group.rows.size for group in train})
        mix = {family: (_content_class(family), weight) for family, weight in weights.items()}
        why = "In proportion to the family's tokens."
    caps = {family: min(TOTAL_BPS, weight + _SLACK_BPS) for family, (_, weight) in mix.items()}
    shares = {
        kind: sum(weight for own, weight in mix.values() if own == kind) for kind in ("prose", "spec_text", "code")
    }
    return {
        "schema_version": "psion.sampling_policy.v1",
        "tokenized_corpus_schema_version": CORPUS_SCHEMA,
        "raw_source_schema_version": RAW_SOURCE_SCHEMA,
        "dataset_identity": manifest["replay_contract"]["stable_dataset_identity"],
        "policy_id": POLICY_ID,
        "policy_version": POLICY_VERSION,
        "packing_policy_version": PACKING_VERSION,
        "maximum_code_token_ratio_bps": min(TOTAL_BPS, shares["code"] + _SLACK_BPS),
        "source_family_weights": [
            {
                "source_family_id": family,
                "content_class": content_class,
                "sampling_weight_bps": weight,
                "maximum_family_token_share_bps": caps[family],
                "rationale": why,
            }
            for family, (content_class, weight) in sorted(mix.items())
        ],
        "source_contribution_caps": [
            {
                "source_id": source_id,
                "maximum_source_token_share_bps": caps[group.source_family_id],
                "rationale": "A source may be all that is drawn of its family, and no more.",
            }
            for group in train
            for source_id in group.source_ids
        ],
        "repetitive_region_controls": [],
        "content_class_token_share_report": [
            {"content_class": kind, "observed_token_share_bps": share} for kind, share in shares.items()
        ],
        "regression_thresholds": [
            {
                "regression_kind": kind,
                "maximum_regression_bps": TOTAL_BPS,
                "rationale": "Not measured: a first run has nothing to fall back from.",
            }
            for kind in _REGRESSION_KINDS
        ],
    }


def _content_class(family: str) -> str:
    """What a folder's family is taken for: its name is all that is known of it."""
    return "code" if "code" in family else "spec_text" if "spec" in family else "prose"


def largest_remainder(counts: dict[str, int]) -> dict[str, int]:
    """Shares of 10,000 in proportion to counts, each at least 1, by the method of largest remainders."""
    total, seats = sum(counts.values()), TOTAL_BPS - len(counts)
    shares = {name: 1 + count * seats // total for name, count in counts.items()}
    by_remainder = sorted(counts, key=lambda name: (-(counts[name] * seats % total), name))
    for name in by_remainder[: TOTAL_BPS - sum(shares.values())]:
        shares[name] += 1
    return shares


def sampling_plan(settings: Settings, manifest: Json, shards: Sequence[Shard], world_size: int) -> Json:
    """`psion_ledger.sampling_plan.v1`: the order, how steps take positions, and what is measured when."""
    return {
        "schema_version": "psion_ledger.sampling_plan.v1",
        "dataset_identity": manifest["replay_contract"]["stable_dataset_identity"],
        "families": [
            {
                "split_name": shard.split,
                "split_kind": shard.split,
                "source_family_id": shard.source_family_id,
                "first_sequence_id": shard.first_sequence_id,
                "end_sequence_id": shard.end_sequence_id,
                "sequences": shard.end_sequence_id - shard.first_sequence_id,
                "tokens": (shard.end_sequence_id - shard.first_sequence_id) * settings.context,
                "shard_ids": [shard.shard_id],
            }
            for shard in shards
        ],
        "order": _order(settings.seed),
        "unit": "sequence",
        "sequence_tokens": settings.context,
        "token_dtype": token_dtype(manifest["tokenizer"]["vocab_size"]).name,
        "targets": "all_but_first",
        "passes": {"end": "spans"},
        "batch": {
            "schedule": [{"first_step": 1, "sequences": settings.batch}],
            "micro_batch_sequences": settings.batch // (world_size * settings.micro_steps),
        },
        "ranks": {"layout": "rank_major", "take": "contiguous"},
        "horizon_steps": settings.steps,
        "evaluation_sets": [_evaluation_set(shard, settings.evaluation_sequences) for shard in shards],
        "evaluations": {"every_steps": settings.evaluate_every_steps, "at_start": True, "at_end": True},
        "checkpoints": {"every_steps": settings.checkpoint_every_steps, "at_start": True, "at_end": True},
        "loss_divisor": "target_tokens",
        "norm_is_global": True,
        "rate_is_global": True,
    }


def _order(seed: int) -> Json:
    named = {"kind": "derived", "name": ORDER_NAME, "version": ORDER_VERSION}
    return named | {"seed": seed, "may_repeat": "anything"}


def _evaluation_set(shard: Shard, sequences_most: int) -> Json:
    """Sequences spread evenly over a family: neighbours would be of one document, and their loss mean little."""
    held = shard.end_sequence_id - shard.first_sequence_id
    sequences = min(held, sequences_most)
    stride = held // sequences
    first = shard.first_sequence_id + (held - 1 - (sequences - 1) * stride) // 2
    return {
        "evaluation_set": "train_probe" if shard.split == "train" else shard.split,
        "split_name": shard.split,
        "source_family_id": shard.source_family_id,
        "first_sequence_id": first,
        "end_sequence_id": first + (sequences - 1) * stride + 1,
        "stride": stride,
        "sequences": sequences,
    }


def refuse_short_horizon(contracts: Json) -> None:
    """Raises BadInput when a family of the policy would draw nothing, naming the fewest steps that work."""
    plan = contracts["sampling_plan"]
    steps, batch = plan["horizon_steps"], plan["batch"]["schedule"][0]["sequences"]
    if steps < (fewest := order_of(contracts).smallest_horizon_steps(batch)):
        raise BadInput(
            f"{steps} steps of {batch} sequences would never draw some source family; give --steps {fewest} or more"
        )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "text"
