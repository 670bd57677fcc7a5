"""Texts near a good document: changed as JSON, keeping what parsers differ on, and changed as bytes."""

import json

from hypothesis import strategies as st

from tests.compatibility.trees import Members, Tree, nested, spelled, tree_of

SCALARS = [
    "null", "true", "false", "0", "-0", "1", "-1", "00", "01", "+1", "1.", ".5", "1.0", "4096.0", "1e0", "1E+2", "1e-2",
    "0e9", "1e400", "-1e400", "65535", "65536", "4294967295", "4294967296", "9223372036854775807",
    "9223372036854775808", "18446744073709551615", "18446744073709551616", "1" * 400, "0x10", "NaN", "Infinity",
    "-Infinity", "None", "True", "nul", '""', '" "', '"\\u00a0"', '"\\u3000"', '"\\ufeff"', '"\\u0085"', '"\u2028"',
    '"\\u001c"', '"|"', '"é"', '"\\u00e9"', '"\\ud83d\\ude00"', '"\U0001f600"', '"\\ud800"', '"\\udc00"',
    '"\\ude00\\ud83d"', '"\\ud800\\u0041"', '"\\ud83d\\n"', '"\\u12"', '"\\x41"', '"\\/"', '"\t"', '"\x7f"',
    '"\\u0000"',
    "'x'", '"', "", "/*c*/1", "1//c", "cpu", '"cpu"', '"cuda"', '"train"', '"pretrain"', '"rl"', '"repeat"', '"custom"',
]  # fmt: skip
KEYS = [
    '"run_id"', '"run\\u005fid"', '"kind"', '"k\\u0069nd"', '"extra"', '""', '"\\ud800"', '"\\udc00x"', '"a\\tb"',
    '"a\tb"',
    "run_id", "'run_id'", "1", "null", '"RUN_ID"', '"run_id "', '"summary"', '"selected_devices"', '"step"', '"é"',
]  # fmt: skip
SPACES = ["", " ", "\n", "\t\r\n ", "\x0b", "\x0c", "\xa0", "\ufeff", "\u2028", "/**/"]

scalars = st.sampled_from(SCALARS)
keys = st.sampled_from(KEYS)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(st.tuples(keys, inner).map(list), max_size=3).map(Members),
        st.builds(nested, st.sampled_from([1, 100, 119, 120, 121, 122, 123, 130, 500]), st.booleans()),
    ),
    max_leaves=4,
)


def _containers(tree: Tree) -> list[Tree]:
    parts = [part for _, part in tree] if isinstance(tree, Members) else tree
    return [tree] + [found for part in parts if isinstance(part, list) for found in _containers(part)]


def _change_object(draw: st.DrawFn, members: Members) -> None:
    place = draw(st.integers(0, len(members) - 1))
    match draw(
        st.sampled_from(["set", "retype", "remove", "duplicate", "rename", "swap", "insert", "array", "reverse"])
    ):
        case "set":
            members[place][1] = draw(values)
        case "retype":
            members[place][1] = _retyped(draw, members[place][1])
        case "remove":
            del members[place]
        case "duplicate":
            value = draw(st.one_of(st.just(members[place][1]), values))
            members.insert(draw(st.integers(0, len(members))), [members[place][0], value])
        case "rename":
            members[place][0] = draw(keys)
        case "swap":
            other = draw(st.integers(0, len(members) - 1))
            members[place], members[other] = members[other], members[place]
        case "insert":
            members.insert(place, [draw(keys), draw(values)])
        case "array":
            # As serde takes a struct, where the member holds one; sometimes a value too few or too many.
            if isinstance(members[place][1], Members):
                parts = [part for _, part in members[place][1]]
                members[place][1] = [*parts[: draw(st.integers(max(0, len(parts) - 1), len(parts)))],
                                     *draw(st.lists(values, max_size=2))]  # fmt: skip
        case "reverse":
            members.reverse()


def _retyped(draw: st.DrawFn, value: Tree) -> Tree:
    text = spelled(value)
    known = [json.dumps(text), [value], Members([[text, "null"]]), Members([[text, draw(values)]]), "null", "[]", "{}"]
    if isinstance(value, str) and not text.startswith('"'):
        known += [text + ".0", text + "e0", "-" + text, "0" + text, text + "0" * 20]
    return draw(st.sampled_from(known))


def _change_list(draw: st.DrawFn, parts: list[Tree]) -> None:
    place = draw(st.integers(0, len(parts)))
    match draw(st.sampled_from(["insert", "copy", "drop", "reverse"])):
        case "insert":
            parts.insert(place, draw(values))
        case "copy" if parts:
            parts.insert(place, parts[place - 1])
        case "drop" if parts:
            del parts[place - 1]
        case _:
            parts.reverse()


@st.composite
def changed_json(draw: st.DrawFn, text: bytes, most: int = 3) -> str:
    """One to `most` changes of the document's tree, spelled with some white space or none."""
    tree = tree_of(text)
    for _ in range(draw(st.integers(1, most))):
        found = _containers(tree)
        container = found[draw(st.integers(0, len(found) - 1))]
        if isinstance(container, Members) and container:
            _change_object(draw, container)
        elif not isinstance(container, Members):
            _change_list(draw, container)
    return spelled(tree, draw(st.sampled_from(SPACES)))


@st.composite
def changed_bytes(draw: st.DrawFn, text: bytes, most: int = 3) -> bytes:
    """One to `most` changes that know nothing of JSON."""
    data = bytearray(text)
    for _ in range(draw(st.integers(1, most))):
        place = draw(st.integers(0, len(data)))
        match draw(st.sampled_from(["flip", "cut", "drop", "insert", "splice"])):
            case "flip" if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del data[place:]
            case "drop":
                del data[place : place + draw(st.integers(1, 40))]
            case "insert":
                data[place:place] = draw(st.one_of(st.binary(max_size=4), st.text(max_size=4).map(_utf8)))
            case "splice":
                begin = draw(st.integers(0, len(text)))
                data[place:place] = text[begin : begin + draw(st.integers(1, 200))]
    return bytes(data)


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def mutated(draw: st.DrawFn, text: bytes) -> bytes:
    """Changed as JSON, as bytes, or both."""
    if draw(st.booleans()):
        text = _utf8(draw(changed_json(text)))
        if draw(st.integers(0, 3)):
            return text
    return draw(changed_bytes(text))
