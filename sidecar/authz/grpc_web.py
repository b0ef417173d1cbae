"""The last frame of a gRPC-Web response, which contains the call's status.

Browsers do not expose HTTP trailers to a page, so gRPC-Web puts them into the body. Source: the
gRPC-Web protocol (PROTOCOL-WEB.md of the grpc project), "Message framing".
"""

import base64

LONGEST_BLOCK = 127
"""Longer trailers do not fit the form in which Envoy gets them: the length is one character."""
_TRAILERS = b"\x80\x00\x00\x00"
"""The flag of trailers, and the first three bytes of a length below 128."""


def trailer_block(code: int, message: str) -> str:
    """Return the trailers, after one character for their length.

    This is a frame without its first four bytes, which are constant and not text: metadata for
    Envoy must be text. Raises ``ValueError`` for trailers that are too long, and for a
    ``message`` that would need to be percent-encoded.
    """
    if not message.isascii() or not message.isprintable() or "%" in message:
        raise ValueError("the message of a gRPC status must be plain ASCII")
    block = f"grpc-status: {code}\r\ngrpc-message: {message}\r\n"
    if len(block) > LONGEST_BLOCK:
        raise ValueError(f"trailers of gRPC-Web are over {LONGEST_BLOCK} bytes: {block!r}")
    return chr(len(block)) + block


def as_text(block: str) -> str:
    """Return the whole frame in base64, as clients of ``application/grpc-web-text`` read it."""
    return base64.b64encode(_TRAILERS + block.encode("ascii")).decode("ascii")
