"""The original's way of reading JSON text: serde_json's, token by token.

Every function takes the text and a place in it, and gives the place behind what it read, with the value where there
is one; what the grammar refuses raises NotParsed. Refused too, though readers differ on it: lone surrogates, `-0`,
`4096.0` and `1e0` for an integer. A value that nobody asked for is passed over, and checked as little as serde_json
checks it.

Sources: RFC 8259, and the documentation and published behaviour of serde_json.
"""

import re

_space = re.compile(r"[ \t\n\r]*").match
_plain = re.compile(r'"([^"\\\x00-\x1f]*)"').match
# Possessive, so that a string of megabytes takes no memory for going back.
_STRING = r'"((?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+)"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_string = re.compile(_STRING).match
_number = re.compile(_NUMBER).match
_unsigned = re.compile(r"(?:0|[1-9][0-9]*)(?![0-9.eE])").match
_escape = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_scalar_or_opening = re.compile(rf"{_STRING}|{_NUMBER}|true|false|null|[\[{{]").match
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "/": "/"}
_CLOSING = {"[": "]", "{": "}"}


class NotParsed(Exception):
    """The original's parser refuses the text. Its only message here is that it does."""


def at(text: str, place: int) -> int:
    """The place of the next character that is no JSON white space."""
    found = _space(text, place)
    assert found is not None, "it matches the empty text"
    return found.end()


def begins(text: str, place: int, character: str) -> bool:
    """Whether the next token begins so."""
    return text.startswith(character, at(text, place))


def expect(text: str, place: int, token: str) -> int:
    place = at(text, place)
    if not text.startswith(token, place):
        raise NotParsed
    return place + len(token)


def read_string(text: str, place: int) -> tuple[str, int]:
    place = at(text, place)
    if (found := _plain(text, place)) is not None:
        return found[1], found.end()
    if (found := _string(text, place)) is None:
        raise NotParsed
    unescaped = _escape.sub(lambda e: chr(int(e[1], 16)) if e[1] else _LETTERS[e[2]], found[1])
    try:
        # Pairs of surrogates become one character; one alone is refused.
        return unescaped.encode("utf-16", "surrogatepass").decode("utf-16"), found.end()
    except UnicodeDecodeError:
        raise NotParsed from None


def read_unsigned(text: str, place: int, maximum: int) -> tuple[int, int]:
    """`maximum` is at most 2**64 - 1."""
    place = at(text, place)
    found = _unsigned(text, place)
    if found is None or found.end() - place > 20 or (value := int(found[0])) > maximum:
        raise NotParsed
    return value, found.end()


def read_bool(text: str, place: int) -> tuple[bool, int]:
    place = at(text, place)
    if text.startswith("true", place):
        return True, place + 4
    return False, expect(text, place, "false")


def skip_unread(text: str, place: int) -> int:
    """Pass over the value of an unknown key: its grammar alone is checked; no surrogates, no depth, no range."""
    closing: list[str] = []
    while True:
        place = at(text, place)
        if (found := _scalar_or_opening(text, place)) is None:
            raise NotParsed
        closer, place = _CLOSING.get(found[0]), found.end()
        if closer and not begins(text, place, closer):
            closing.append(closer)
            place = _skip_key(text, place, closer)
            continue
        if closer:
            place = at(text, place) + 1
        while closing and begins(text, place, closing[-1]):
            place = at(text, place) + 1
            closing.pop()
        if not closing:
            return place
        place = _skip_key(text, expect(text, place, ","), closing[-1])


def _skip_key(text: str, place: int, closer: str) -> int:
    """A member's key and its colon; an element has none."""
    if closer == "]":
        return place
    if (found := _string(text, at(text, place))) is None:
        raise NotParsed
    return expect(text, found.end(), ":")


def skip_read(text: str, place: int, depth: int) -> int:
    """Pass over a value that the original reads in full before it knows what it is for: strings and numbers must be
    good, and it may stand in no more than `depth` others."""
    place = at(text, place)
    character = text[place : place + 1]
    if character == '"':
        return read_string(text, place)[1]
    if character and character in "[{":
        return _skip_members(text, place + 1, _CLOSING[character], depth)
    for word in ("true", "false", "null"):
        if text.startswith(word, place):
            return place + len(word)
    found = _number(text, place)
    if found is None or float(found[0]) in (float("inf"), float("-inf")):
        raise NotParsed
    return found.end()


def _skip_members(text: str, place: int, closer: str, depth: int) -> int:
    if depth == 0:
        raise NotParsed
    if begins(text, place, closer):
        return at(text, place) + 1
    while True:
        if closer == "}":
            place = expect(text, read_string(text, place)[1], ":")
        place = skip_read(text, place, depth - 1)
        if begins(text, place, closer):
            return at(text, place) + 1
        place = expect(text, place, ",")
