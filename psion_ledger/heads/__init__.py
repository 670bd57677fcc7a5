"""Signed heads of the log, and proofs from them: what someone who kept one can hold against the ledger.

tree    RFC 6962 paths, made and verified
keys    Ed25519 keys, which the caller pins
note    a signed head, as a C2SP checkpoint
proof   documents: inclusion, consistency, equivocation
check   a proof verified from itself and the pinned key
"""

from psion_ledger.heads.keys import load_private_key, load_public_key, verifier_key
from psion_ledger.heads.note import NOTE_BYTES_MAX, Head, NoteRefused, origin, sign, unverified, verify
from psion_ledger.heads.proof import (
    ConsistencyProof,
    Equivocation,
    InclusionProof,
    encode,
    make_consistency,
    make_equivocation,
    make_inclusion,
)
from psion_ledger.heads.proof_check import Checked, Finding, check
from psion_ledger.heads.statement import Expected, Statement, differences, state
from psion_ledger.heads.tree import Tree

__all__ = [
    "NOTE_BYTES_MAX",
    "Checked",
    "ConsistencyProof",
    "Equivocation",
    "Expected",
    "Finding",
    "Head",
    "InclusionProof",
    "NoteRefused",
    "Statement",
    "Tree",
    "check",
    "differences",
    "encode",
    "load_private_key",
    "load_public_key",
    "make_consistency",
    "make_equivocation",
    "make_inclusion",
    "origin",
    "sign",
    "state",
    "unverified",
    "verifier_key",
    "verify",
]
