"""JSON texts as trees that keep what parsers differ on: a key twice, the spelling of a key or a number."""

import json
from collections.abc import Iterator
from typing import Any

# A JSON tree that can say what Python's cannot: an object is the list of its members (a key may stand twice), and a
# scalar is its spelling.
Tree = Any


class Members(list[list[Any]]):
    """The [key's spelling, value] pairs of an object."""


def tree_of(text: str | bytes) -> Tree:
    """Scalars and keys in their canonical spelling."""
    return _spelled_tree(json.loads(text))


def _spelled_tree(value: Any) -> Tree:
    if isinstance(value, dict):
        return Members([json.dumps(key), _spelled_tree(part)] for key, part in value.items())
    if isinstance(value, list):
        return [_spelled_tree(part) for part in value]
    return json.dumps(value, ensure_ascii=False)


def spelled(tree: Tree, space: str = "") -> str:
    """`space` stands wherever JSON allows white space."""
    if isinstance(tree, Members):
        inner = f"{space},{space}".join(f"{key}{space}:{space}{spelled(part, space)}" for key, part in tree)
        return f"{{{space}{inner}{space}}}"
    if isinstance(tree, list):
        return f"[{space}{f'{space},{space}'.join(spelled(part, space) for part in tree)}{space}]"
    return str(tree)


def objects(tree: Tree, pointer: str = "") -> Iterator[tuple[str, Members]]:
    if isinstance(tree, Members):
        yield pointer, tree
        for key, part in tree:
            yield from objects(part, f"{pointer}/{json.loads(key)}")
    elif isinstance(tree, list):
        for place, part in enumerate(tree):
            yield from objects(part, f"{pointer}/{place}")


def parent_of(tree: Tree, pointer: str) -> tuple[Tree, int]:
    """The container at the last step but one, and the place in it; an object's value stands behind its key."""
    steps = pointer.removeprefix("/").split("/")
    for n, step in enumerate(steps):
        keys = [json.loads(key) for key, _ in tree] if isinstance(tree, Members) else None
        place = keys.index(step) if keys is not None else int(step)
        if n == len(steps) - 1:
            return tree, place
        tree = tree[place][1] if keys is not None else tree[place]
    raise AssertionError("a pointer has a step")


def at(tree: Tree, pointer: str) -> Tree:
    if not pointer:
        return tree
    container, place = parent_of(tree, pointer)
    return container[place][1] if isinstance(container, Members) else container[place]


def nested(depth: int, objects: bool) -> str:
    """Containers in containers, `depth` of them."""
    return '{"a":' * depth + "1" + "}" * depth if objects else "[" * depth + "]" * depth
