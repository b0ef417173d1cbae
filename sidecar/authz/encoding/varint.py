"""Protobuf's variable-length integers, for what is encoded by hand."""

_MORE = 0x80
"""The bit of a varint's byte that says that another one follows."""
_ONE_BYTE = tuple(bytes((value,)) for value in range(_MORE))


def varint(value: int) -> bytes:
    """Encode a length as protobuf does: seven bits a byte, the lowest first."""
    if value < _MORE:
        return _ONE_BYTE[value]
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
