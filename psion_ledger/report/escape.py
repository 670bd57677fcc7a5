"""Every string from a ledger is hostile where it is shown: it may hold control characters, markup or bidi overrides."""

import unicodedata

# Controls, format characters (bidi overrides, zero widths), surrogates, line and paragraph separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
SHOWN_CHARACTERS_MAX = 400
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def plain(text: str) -> str:
    """The text with every character that a terminal might obey spelled out, such as `\\x1b` or `\\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(c) if unicodedata.category(c) in _HIDDEN else c for c in text)


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_safe(text: str) -> str:
    """JSON text with every such character of its strings as `\\u` escapes: it parses to the same values."""
    return text if text.isascii() and "\x7f" not in text else "".join(map(_json_escaped, text))


def _json_escaped(character: str) -> str:
    if character in "\n\t\r" or unicodedata.category(character) not in _HIDDEN:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def brief(text: str) -> str:
    """The beginning of a long text, and how much of it is left out: for people, who read no megabytes."""
    more = len(text) - SHOWN_CHARACTERS_MAX
    return text if more <= 0 else f"{text[:SHOWN_CHARACTERS_MAX]}... ({more:,} more characters)"


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
