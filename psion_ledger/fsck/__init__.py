"""Whether a run's bytes are those that were written: every file, re-derived, after the manner of Tessera's fsck."""

from psion_ledger.fsck.check import SCHEMA_VERSION, Checked, fsck
from psion_ledger.fsck.finding import Finding

__all__ = ["SCHEMA_VERSION", "Checked", "Finding", "fsck"]
