"""What the contract documents share: scalars, enumerations, and how a label is spelled in a digest.

Integer widths are those of the original's types. JSON spells every enumeration as written here.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
# msgspec bounds integers by int64 only; where an upper end of 2**64 - 1 matters, a rule holds it.
U64 = Annotated[int, Meta(ge=0)]
U64_MAX = 2**64 - 1
Sha256Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]

TOTAL_BPS = 10_000

TokenizerFamily = Literal["sentence_piece", "byte_pair_encoding", "word_piece", "unigram"]
CorpusTokenizerFamily = Literal["sentence_piece", "byte_pair_encoding", "word_piece", "unigram", "custom"]
IterationMode = Literal["single_pass", "repeat"]
ShardOrdering = Literal["manifest_order", "deterministic_shuffle"]
PackingMode = Literal["pack_into_context_window", "batch_by_token_budget"]
OverlongPosture = Literal["refuse", "drop"]
ContentClass = Literal["prose", "spec_text", "code"]
RegressionKind = Literal[
    "explanation_quality",
    "spec_interpretation",
    "tradeoff_reasoning",
    "invariant_articulation",
    "coding_fluency",
]

# Unicode's White_Space property (PropList.txt). str.strip() alone would also take U+001C to U+001F.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Settings shared by the documents and their parts: an absent optional is left out of the JSON."""


def is_blank(text: str) -> bool:
    """True when nothing but Unicode White_Space is there."""
    return not text.strip(_WHITE_SPACE)


def debug_name(label: str) -> str:
    """The variant name that the original's digests use: `held_out` -> `HeldOut`."""
    return "".join(word.capitalize() for word in label.split("_"))
