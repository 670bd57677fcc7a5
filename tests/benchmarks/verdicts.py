"""How fast the original's verdicts are given: `python -m tests.benchmarks.verdicts`. One core, ratios in one run.

Beside them stands the time that Python's own JSON reader takes for the same receipt with a hook for duplicate keys.
"""

import json
import time
from collections.abc import Callable

import duckdb

from psion_ledger.receipts.compatibility import OriginalInputs
from tests.documents import UPSTREAM

CALLS = 20_000


def calls_per_second(call: Callable[[], object], calls: int = CALLS) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        call()
    return calls / (time.perf_counter() - started)


def main() -> None:
    inputs = OriginalInputs(
        model_descriptor=(UPSTREAM / "psion_compact_decoder_pilot_descriptor_v1.json").read_bytes(),
        tokenized_corpus=(UPSTREAM / "psion_tokenized_corpus_manifest_v1.json").read_bytes(),
        sampling_policy=(UPSTREAM / "psion_sampling_policy_manifest_v1.json").read_bytes(),
    )
    config = (UPSTREAM / "psion_pretrain_stage_config_v1.json").read_bytes()
    receipt = (UPSTREAM / "psion_pretrain_stage_receipt_v1.json").read_bytes()
    with duckdb.connect() as con:
        rows = con.sql(f"select config_json, receipt_json from '{UPSTREAM / 'verdicts.parquet'}'").fetchall()
    cases = [(one.encode(), other.encode()) for one, other in rows]
    canonical = calls_per_second(lambda: inputs.verdict(config, receipt))
    python = calls_per_second(lambda: json.loads(receipt, object_pairs_hook=dict))
    started = time.perf_counter()
    for one, other in cases:
        inputs.verdict(one, other)
    everything = len(cases) / (time.perf_counter() - started)
    print(f"canonical documents      {canonical:>9,.0f} verdicts/s")
    print(f"all {len(cases):,} changed ones  {everything:>9,.0f} verdicts/s")
    print(f"json.loads with a hook   {python:>9,.0f} receipts/s, {canonical / python:.2f} verdicts a receipt read so")


if __name__ == "__main__":
    main()
