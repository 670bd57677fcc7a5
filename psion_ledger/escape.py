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
    return text.translate({ord(c): _spelled(c) for c in _hidden(text)})


def _hidden(text: str) -> list[str]:
    return [c for c in set(text) if unicodedata.category(c) in _HIDDEN]


def _spelled(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_safe(text: str) -> str:
    """JSON text with every such character of its strings as `\\u` escapes: it parses to the same values."""
    hidden = {ord(c): _json_escaped(c) for c in _hidden(text) if c != "\n"}
    return text.translate(hidden) if hidden else text


def _json_escaped(character: str) -> str:
    if character in "\t\r":
        return " "  # Between the values: within one, JSON has them as escapes already.
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def brief(text: str, characters_max: int = SHOWN_CHARACTERS_MAX) -> str:
    """A long text's beginning and end, and how much is left out between: for people, who read no megabytes."""
    more = len(text) - characters_max
    if more <= 0:
        return text
    end = characters_max // 4
    return f"{text[: characters_max - end]}... ({more:,} more characters) ...{text[-end:]}"


def csv_cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
