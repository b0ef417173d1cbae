"""An allowed answer in parts, for Envoy's decision cache, which repeats what an answer did.

``read_common`` reads back what a template has in common for its tokens; ``metadata_opening``
begins a string that is added to the dynamic metadata of an answer which is already encoded.
"""

from typing import NamedTuple

from sidecar.authz.encoding.varint import varint
from sidecar.authz.response_cache import Template
from sidecar.pb import ext_authz_pb2 as pb


class CommonFields(NamedTuple):
    """What an answer does whoever's token it is for. Values are as they are sent."""

    request_headers: tuple[tuple[str, bytes], ...]
    """Overwritten in the request."""
    removed: tuple[str, ...]
    response_headers: tuple[tuple[int, str, bytes], ...]
    """With Envoy's number of how each combines with the application's."""
    metadata: tuple[tuple[str, str], ...]


def read_common(template: Template) -> CommonFields:
    """Return the fields of a template, without those of a token."""
    ok, metadata = template.ok, template.metadata
    response = pb.CheckResponse.FromString(
        b"\x1a" + varint(len(ok)) + ok + b"\x22" + varint(len(metadata)) + metadata
    )
    answer = response.ok_response
    return CommonFields(
        tuple((each.header.key, each.header.value) for each in answer.headers),
        tuple(answer.headers_to_remove),
        tuple(
            (int(each.append_action), each.header.key, each.header.value)
            for each in answer.response_headers_to_add
        ),
        tuple(
            (key, value.string_value)
            for key, value in sorted(response.dynamic_metadata.fields.items())
        ),
    )


def metadata_opening(key: bytes, length: int) -> bytes:
    """Encode what stands before a string of the dynamic metadata, of so many bytes.

    With the string it may be appended to an encoded ``CheckResponse``.

    A submessage that occurs twice is merged by every decoder of protobuf, and so is its map.
    """
    # From the inside: a Value's field 3, the entry of a map, a Struct's field 1. One copy of all.
    value_bytes = length
    before = b"\x1a" + varint(length)
    length += len(before)
    before = b"\x0a" + varint(len(key)) + key + b"\x12" + varint(length) + before
    before = b"\x0a" + varint(len(before) + value_bytes) + before
    return b"\x22" + varint(len(before) + value_bytes) + before
