"""psion-ledger: an event-sourced audit engine for language-model pretraining. The map, in the order of the imports:

    record   errors  escape  inputs  digest  events  contracts/  log/  data/  orders/  heads/  completion  limits  once
    derive   record  catalog  inventory  relations  sandbox  ledger  answering  ordered  receipts/  by SQL
    audit    program  replay/  witness  fsck/  evidence  findings  account  audit         whether it holds, as findings
    show     settings  duckdb_file  listing  report/  cli/  pages      for people and machines

A later row never serves an earlier one. The SQL is in `queries/`, one SELECT a file.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psion_ledger import data
    from psion_ledger.ledger import Run, open_run

__all__ = ["Run", "__version__", "data", "open_run"]

try:
    __version__ = version("psion-ledger")
except PackageNotFoundError:  # A checkout on sys.path that nobody installed.
    __version__ = "0+unknown"


def __getattr__(name: str) -> object:
    # DuckDB and pyarrow cost tenths of a second: only those who open a run pay.
    if name in ("Run", "open_run"):
        from psion_ledger import ledger

        return getattr(ledger, name)
    if name == "data":
        return import_module("psion_ledger.data")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
