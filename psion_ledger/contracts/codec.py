"""Documents to their exact JSON text and back. What is read is strict: no unknown field, no wrong type."""

import re
from typing import TypeVar

import msgspec

from psion_ledger.errors import ContractRefused

T = TypeVar("T", bound=msgspec.Struct)

# msgspec says where in a suffix, such as: Expected `int`, got `str` - at `$.splits[0].kind`
_PLACE = re.compile(r" - at `\$([^`]*)`\Z")
_FIELD = re.compile(r"\AObject (?:missing required|contains unknown) field `(.*)`\Z", re.DOTALL)


class _Header(msgspec.Struct):
    schema_version: str


def encode_document(document: msgspec.Struct) -> str:
    """The exact text: two-space indent, keys in declaration order, non-ASCII raw, a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def decode_struct(kind: type[T], schema_version: str, label: str, text: str | bytes) -> T:
    """One document; raises ContractRefused naming `label`, the JSON pointer, what is wrong and what to do.

    The schema version is looked at first, so that another version is named as such and not by an odd field.
    """
    try:
        declared = msgspec.json.decode(text, type=_Header).schema_version
        if declared != schema_version:
            raise ContractRefused(
                f"{label}#/schema_version: SchemaVersionMismatch: found {declared!r}; "
                f"give a document of {schema_version!r}"
            )
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        pointer, problem = _placed(str(error))
        raise ContractRefused(f"{label}#{pointer}: {problem}; correct it to what {schema_version} asks for") from None
    except (ValueError, RecursionError) as error:
        raise ContractRefused(f"{label}#: not JSON in UTF-8: {error}; give the document's own text") from None


def _placed(message: str) -> tuple[str, str]:
    """The JSON pointer (RFC 6901) of a msgspec message, and the message without it."""
    place = _PLACE.search(message)
    problem = message[: place.start()] if place else message
    steps = re.findall(r"[^.\[\]]+", place.group(1)) if place else []
    field = _FIELD.match(problem)
    if field:
        steps.append(field.group(1))
        problem = problem.split(" `", 1)[0].removeprefix("Object ")
    pointer = "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
    return pointer, problem
