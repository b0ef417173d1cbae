"""docs/reference-audit.md: every field of an audit line, from the structures that are written."""

import typing
from collections.abc import Iterator
from pathlib import Path
from types import NoneType

import msgspec

from sidecar.observability.audit import chain, entry, inputs
from tools.reference.page import page, sentence, table
from tools.reference.source import field_texts

_INTRODUCTION = """
A line is a JSON object. A field that would be empty is left out. [Audit sinks](audit-sinks.md)
says where lines go, [the audit trail](audit.md) how they are chained, and [Why was this request
denied?](operations.md#why-was-this-request-denied) how to find one.
"""
_OF_THE_CHAIN = (
    ("`trail`", "text", "A random name of the chain that the line belongs to."),
    ("`seq`", "number", "The number of the line in its chain, from 1."),
    ("`chain`", "text", "The hash that chains the line to the one before it."),
)
_TYPES = {str: "text", int: "number", float: "number", bool: "true or false"}


def audit_page() -> str:
    """Return the page."""
    header = ("Field", "Type", "What it is")
    own = set(entry.AuditLine.__struct_fields__)
    body = [
        f"## A decision\n{table(header, _rows(entry.AuditLine))}",
        "## The chain\nThe last three fields of each line, with `audit.chain`.\n\n"
        + table(header, _OF_THE_CHAIN),
        "## Lines of the trail's own\nTheir `outcome` is `trail`; [the audit trail]"
        "(audit.md) has their reasons. Beside the fields of a decision they have:\n\n"
        + table(header, (e for e in _rows(chain.TrailLine) if e[0].strip("`") not in own)),
        "## Inputs\nThe members of `inputs`, with `audit.record_inputs`. Without one, what the "
        "last column says is not so, or was empty.\n\n"
        + table(header, _rows(inputs.RecordedInputs)),
    ]
    return page(
        "Audit fields", "the structures in sidecar/observability/audit/", _INTRODUCTION, body
    )


def _rows(struct: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    module = __import__(struct.__module__, fromlist=["__file__"]).__file__
    texts = field_texts(Path(str(module)), struct.__name__)
    for field in msgspec.structs.fields(struct):
        yield f"`{field.encode_name}`", _type(field.type), sentence(texts[field.name])


def _type(kind: typing.Any) -> str:
    members = [each for each in typing.get_args(kind) if each is not NoneType]
    if typing.get_origin(kind) is tuple:
        return "list of texts"
    if members:
        return _type(members[0])
    return "object" if issubclass(kind, msgspec.Struct) else _TYPES[kind]
