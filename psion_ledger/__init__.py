"""psion-ledger: an event-sourced audit engine for language-model pretraining. The map, in the order of the imports:

    record   errors  escape  inputs  digest  events  contracts/  log/  data/  orders/  heads/  completion  limits  once
    derive   reading  catalog  inventory  relations  sandbox  ledger  answering  ordered  receipts/  by SQL
    audit    program  replay/  witness  fsck/  evidence  findings  account  auditing  whether it holds, as findings
    keep     recording/  integrations/     the public recorder: what a training loop calls; hooks of other libraries
    show     settings  duckdb_file  listing  report/  cli/  pages      for people and machines

A later row never serves an earlier one. The SQL is in `queries/`, one SELECT a file.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psion_ledger import contracts, data, errors, orders
    from psion_ledger.auditing import audit
    from psion_ledger.ledger import Run, open_run
    from psion_ledger.recording import Checkpoint, Past, Promises, Recorder, finish, record, reopen

__all__ = [
    "Checkpoint",
    "Past",
    "Promises",
    "Recorder",
    "Run",
    "__version__",
    "audit",
    "contracts",
    "data",
    "errors",
    "finish",
    "open_run",
    "orders",
    "record",
    "reopen",
]

try:
    __version__ = version("psion-ledger")
except PackageNotFoundError:  # A checkout on sys.path that nobody installed.
    __version__ = "0+unknown"

# Where each public name is. numpy, DuckDB and pyarrow cost tenths of a second: only those who use one pay.
_HOMES = {"Run": "ledger", "open_run": "ledger", "audit": "auditing"} | dict.fromkeys(
    ("Checkpoint", "Past", "Promises", "Recorder", "finish", "record", "reopen"), "recording"
)


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"psion_ledger.{_HOMES[name]}"), name)
    if name in ("contracts", "data", "errors", "orders"):
        return import_module(f"psion_ledger.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
