"""The reader's rules for objects, arrays, keys and enums: serde's, one small document each."""

import json
from collections.abc import Callable

import pytest

from tests.compatibility.full import FULL, TEXT, read, replaced, with_key
from tests.compatibility.trees import Members, Tree, at, nested, objects, parent_of, spelled, tree_of

DEVICE = "/delivered_execution/selected_devices/0"
ASSIGNMENT = "/delivered_execution/execution_topology/assignments/0"
PARTITION = f"{ASSIGNMENT}/partition"


# ---- Objects and arrays ----


IGNORED = [
    "null", "-0", "1e400", "1" * 5000, "0.5E-3", '"\\ud800"', '"\\udc00\\ud800"', '{"\\ud800": "\\ud800"}',
    '{"a": 1, "a": [2, {}]}', "[[], {}, [{}]]", nested(200, True), nested(20_000, False),
    '[true , false\t, "\\u0000"]',
]  # fmt: skip


@pytest.mark.parametrize("value", IGNORED, ids=lambda value: value[:20])
def test_an_unknown_keys_value_is_ignored(value: str) -> None:
    """Whatever it holds, as long as it is JSON; at the top and deep inside."""
    for pointer in ("", "/objective_config", "/source_family_reports/1", DEVICE, ASSIGNMENT):
        assert read(with_key(pointer, '"unknown"', value)) == FULL
    last = TEXT.decode().rstrip().removesuffix("}") + f', "unknown": {value}}}'
    assert read(last) == FULL


NOT_JSON = [
    "", "01", "-", "1.", ".5", "1e", "+1", "0x1", "NaN", "Infinity", "-Infinity", "nul", "True", "'x'", '"', '"\\x"',
    '"\\u12"',
    '"\t"', "[", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "{", '{"a"', '{"a":', '{"a":1', '{"a":1,}', "{a:1}", "{1:1}",
    '{"a" 1}',
    "{,}", "]", "}", ":", ",", "[}", "{]", '{"a":[}]', "1 1", "//", "/**/1", "\x0b1", "\xa01", "[" * 1000,
    '{"a":' * 1000,
    '{"\\x":1}', '{"\n":1}', '"\\ud8"', "truefalse", '[1]]', '{"a":1}}',
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_JSON, ids=lambda value: ascii(value[:10]))
def test_an_unknown_keys_value_must_be_json_all_the_same(value: str) -> None:
    """Nothing is taken from it, and its grammar is checked."""
    assert read(with_key("", '"unknown"', value)) is None
    assert read(with_key(DEVICE, '"unknown"', value)) is None


def reversed_keys(tree: Tree) -> Tree:
    if isinstance(tree, Members):
        return Members([key, reversed_keys(part)] for key, part in reversed(tree))
    return [reversed_keys(part) for part in tree] if isinstance(tree, list) else tree


def test_keys_may_stand_in_any_order() -> None:
    """Every object's keys from last to first."""
    assert read(spelled(reversed_keys(tree_of(TEXT)))) == FULL


STRUCTS = [pointer for pointer, _ in objects(tree_of(TEXT)) if not pointer.endswith("partition")]


def as_array(pointer: str, edit: Callable[[list[Tree]], object] = len) -> str:
    """The struct at a pointer as an array in declaration order; the full receipt leaves no optional field out."""
    tree = tree_of(TEXT)
    values = [part for _, part in at(tree, pointer)]
    edit(values)
    return replaced(pointer, values)


@pytest.mark.parametrize("pointer", STRUCTS)
def test_a_struct_may_be_an_array_of_exactly_its_fields(pointer: str) -> None:
    """The whole receipt and every struct in it; one value too few, too many or out of place is refused."""
    assert read(as_array(pointer)) == FULL
    assert read(as_array(pointer, lambda values: values.pop())) is None
    assert read(as_array(pointer, lambda values: values.append("null"))) is None
    assert read(as_array(pointer, list.clear)) is None
    assert read(as_array(pointer, lambda values: values.insert(0, "[]"))) is None


def test_every_struct_as_an_array_at_once() -> None:
    """Arrays of arrays."""

    def arrays(tree: Tree) -> Tree:
        parts = [part for _, part in tree] if isinstance(tree, Members) else tree
        return [arrays(part) for part in parts] if isinstance(parts, list) else parts

    assert read(spelled(arrays(tree_of(TEXT)))) == FULL


OPTIONAL = {
    "delivered_execution", "accelerator_execution", "base_checkpoint", "checkpoint_ref", "step", "durable_at_ms",
    "execution_topology", "cluster_execution", "topology_key", "total_memory_bytes", "free_memory_bytes",
}  # fmt: skip
FIELDS = [f"{pointer}/{json.loads(key)}" for pointer, members in objects(tree_of(TEXT)) for key, _ in members]
FIELDS.remove(f"{PARTITION}/kind")
FIELDS.remove(f"{PARTITION.replace('/0/', '/1/')}/kind")


@pytest.mark.parametrize("pointer", [field for field in FIELDS if field.rpartition("/")[2] in OPTIONAL])
def test_an_optional_field_may_be_null_or_absent_in_an_object_and_must_be_null_in_an_array(pointer: str) -> None:
    """Three spellings of nothing, and one that has too few values."""
    parent = pointer.rpartition("/")[0]
    tree = tree_of(TEXT)
    container, place = parent_of(tree, pointer)
    container[place][1] = "null"
    null = read(spelled(tree))
    assert null is not None
    assert null != FULL
    values = [part for _, part in container]
    assert null == read(replaced(parent, values))
    assert read(replaced(parent, values[:place] + values[place + 1 :])) is None
    del container[place]
    assert null == read(spelled(tree))


@pytest.mark.parametrize("pointer", [field for field in FIELDS if field.rpartition("/")[2] not in OPTIONAL])
def test_a_field_that_is_not_optional_is_there_and_is_not_null(pointer: str) -> None:
    """In an object; only the devices may be left out."""
    assert read(replaced(pointer, "null")) is None
    tree = tree_of(TEXT)
    container, place = parent_of(tree, pointer)
    del container[place]
    assert pointer.endswith("/selected_devices") == (read(spelled(tree)) is not None)


def test_absent_devices_are_none() -> None:
    """The one field that is filled in; null it may not be."""
    tree = tree_of(TEXT)
    container, place = parent_of(tree, "/delivered_execution/selected_devices")
    del container[place]
    found = read(spelled(tree))
    assert found is not None
    assert found.delivered_execution is not None
    assert found.delivered_execution.selected_devices == []


@pytest.mark.parametrize("pointer", [p for p in STRUCTS if p])
def test_a_struct_is_neither_a_scalar_nor_wrapped(pointer: str) -> None:
    """Nor is its text, spelled as a string."""
    tree = at(tree_of(TEXT), pointer)
    for value in ("0", "true", '"x"', "[]", "{}", [tree], json.dumps(spelled(tree))):
        assert read(replaced(pointer, value)) is None


# ---- Keys ----


@pytest.mark.parametrize("pointer", [*STRUCTS, PARTITION])
def test_a_known_key_twice_is_refused(pointer: str) -> None:
    """With the same value or another, next to it or at the end."""
    for place in range(len(at(tree_of(TEXT), pointer))):
        tree = tree_of(TEXT)
        container = at(tree, pointer)
        container.append(list(container[place]))
        assert read(spelled(tree)) is None, container[place][0]
        container[-1][1] = "null"
        assert read(spelled(tree)) is None, container[place][0]


def test_an_unknown_key_twice_is_ignored_twice() -> None:
    """Only fields count."""
    assert read(with_key("", '"unknown"', "1", with_key("", '"unknown"', "[]"))) == FULL


@pytest.mark.parametrize("key", ['"\\u0072un_id"', '"run\\u005fid"', '"\\u0072\\u0075\\u006e\\u005F\\u0069\\u0064"'])
def test_a_key_is_what_it_spells(key: str) -> None:
    """An escaped key is the field, and its second spelling is the same key again."""
    tree = tree_of(TEXT)
    container, place = parent_of(tree, "/run_id")
    container[place][0] = key
    assert read(spelled(tree)) == FULL
    assert read(with_key("", key, '"fixture"')) is None


@pytest.mark.parametrize("key", ["run_id", "'run_id'", "1", "null", '"\\ud800"', '"\\udc00"', '"a\nb"', '"\\x"', '""x'])
def test_what_is_no_key_is_refused(key: str) -> None:
    """Keys are read as strings are, the unknown ones too."""
    assert read(with_key("", key, "1")) is None


@pytest.mark.parametrize("key", ['"RUN_ID"', '"run_id "', '" run_id"', '"runId"', '"run-id"', '""', '"é"', '"\\u0000"'])
def test_another_key_is_unknown(key: str) -> None:
    """Nothing but the name itself is the field."""
    assert read(with_key("", key, "1")) == FULL


# ---- Enums ----


ENUMS = [
    ("/stage_kind", "pretrain", "rl"), ("/objective_config/objective_kind", "next_token_prediction", None),
    ("/objective_config/loss_normalization", "by_target_token", None),
    ("/source_family_reports/0/split_kind", "held_out", "preference"), ("/replay_receipt/iteration_mode", "repeat",
    "single_pass"),
    ("/replay_receipt/shard_ordering", "deterministic_shuffle", "manifest_order"),
    ("/delivered_execution/execution_topology/kind", "replicated", "tensor_sharded"),
    (f"{DEVICE}/performance_class", "discrete_accelerator", "reference"),
    (f"{DEVICE}/memory_class", "dedicated_device", "host_only"),
    ("/delivered_execution/cluster_execution/transport", "local_only", None),
]  # fmt: skip


@pytest.mark.parametrize(("pointer", "variant", "other"), ENUMS)
def test_an_enum_is_a_name_or_an_object_of_that_name_and_null(pointer: str, variant: str, other: str | None) -> None:
    """Every enum of a receipt, spelled both ways, escaped and spaced; every other shape is refused."""
    label = json.dumps(variant)
    escaped = '"' + "".join(f"\\u{ord(c):04x}" for c in variant) + '"'
    for good in (label, escaped, f"{{{label}:null}}", f" {{ {label} \n:\tnull }} ", f"{{{escaped}:null}}"):
        assert read(replaced(pointer, good)) == FULL, good
    if other is not None:
        plain = read(replaced(pointer, json.dumps(other)))
        assert plain is not None
        assert plain != FULL
        assert plain == read(replaced(pointer, f'{{"{other}": null}}'))
    for bad in (
        f"{{{label}:true}}", f"{{{label}:{{}}}}", f"{{{label}:[]}}", f"{{{label}:0}}", f"{{{label}:{label}}}",
        f"{{{label}}}",
        f"{{{label}:null,}}", f"{{{label}:null,{label}:null}}", f'{{{label}:null,"x":null}}',
        f"{{{label}:{{{label}:null}}}}",
        "{}", "[]", f"[{label}]", f"[{label},null]", "null", "0", "true", '""', json.dumps(variant.upper()),
        json.dumps(variant + " "), json.dumps(" " + variant), json.dumps(variant.title()), '"unknown"',
        '{"unknown":null}',
        f"{{{label}:nul}}", f"{{{label}:nullx}}", f"{{{label} null}}", f"{{{variant}:null}}", f"{{{label}:null",
        f"{{{label}:",
    ):  # fmt: skip
        assert read(replaced(pointer, bad)) is None, bad


PARTITIONS = {
    '{"kind":"whole_model"}': True,
    '{"x":1,"kind":"whole_model","y":[{"z":null}]}': True,
    '{"x":1,"x":2,"kind":"whole_model"}': True,
    '{"k\\u0069nd":"whole\\u005fmodel"}': True,
    '["whole_model"]': True,
    ' [ "whole_model" ] ': True,
    '{"kind":"whole_model","x":-0}': True,
    '{"kind":"whole_model","x":1.5e-400}': True,
    f'{{"kind":"whole_model","x":{nested(121, False)}}}': True,
    f'{{"kind":"whole_model","x":{nested(121, True)}}}': True,
    f'{{"kind":"whole_model","x":{nested(122, False)}}}': False,
    f'{{"kind":"whole_model","x":{nested(122, True)}}}': False,
    f'{{"x":{nested(100_000, False)},"kind":"whole_model"}}': False,
    '{"kind":"whole_model","x":1e400}': False,
    '{"kind":"whole_model","x":"\\ud800"}': False,
    '{"kind":"whole_model","\\ud800":1}': False,
    '{"kind":"whole_model","x":[1,]}': False,
    '{"kind":"whole_model","x":{"a":1,}}': False,
    '{"kind":"whole_model","x":{1:1}}': False,
    '{"kind":"whole_model","x":01}': False,
    '{"kind":"whole_model","x":}': False,
    '{"kind":"whole_model","kind":"whole_model"}': False,
    '{"kind":{"whole_model":null}}': False,
    '{"kind":"other"}': False,
    '{"kind":0}': False,
    '{"kind":null}': False,
    '{"x":1}': False,
    "{}": False,
    "[]": False,
    '["whole_model",null]': False,
    '["whole_model",]': False,
    '["other"]': False,
    "[0]": False,
    '[["whole_model"]]': False,
    '"whole_model"': False,
    "null": False,
}


@pytest.mark.parametrize(("spelling", "taken"), PARTITIONS.items(), ids=lambda value: str(value)[:40])
def test_a_partition_is_an_object_with_its_kind_or_an_array_of_it(spelling: str, taken: bool) -> None:
    """An internally tagged enum: other keys are read in full before the kind is known, 127 values deep in all."""
    assert (FULL if taken else None) == read(replaced(PARTITION, spelling))
