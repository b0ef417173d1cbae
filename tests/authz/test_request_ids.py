"""Which texts of a client count as a request's id: an id's form, and nothing that could be more."""

import pytest

from sidecar.authz.request_ids import HEADER, read_request_id

REQUEST_IDS = {
    True: (
        "0d1c6c3a-5b0e-4c1d-9a55-6a0b7f0c1e2d",  # Envoy's
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",  # a ULID
        "4bf92f3577b34da6a3ce929d0e0e4736",  # nginx's
        "V1StGXR8_Z5jdHi6B-myT",  # nanoid's
        "a" * 8,
        "a" * 64,
    ),
    False: (
        "a" * 7,
        "a" * 65,
        "with space",
        "a,b,c,d,e,f",  # several headers, joined by Envoy
        '"quoted"',
        "back\\slash",
        "line\nfeed",
        "escape\x1b[2J",
        "alice@example.org",
        "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9",
        "prefix-eyJhbGciOiJFUzI1NiJ9",
        "hvs.CAESIJlongenough",
        "caf\xe9-caf\xe9",
        "\u202e12345678",
        "12345678\n",
    ),
}
"""Examples, by whether they are taken. ``request.c`` of the decision cache is asked the same."""


@pytest.mark.parametrize(
    ("text", "taken"), [(text, taken) for taken, texts in REQUEST_IDS.items() for text in texts]
)
def test_what_has_the_form_of_an_id_is_taken(text: str, taken: bool) -> None:
    value = text.encode()
    assert read_request_id({HEADER: value}) == (value if taken else b"")


def test_no_header_is_no_id() -> None:
    assert read_request_id({}) == b""
    assert read_request_id({HEADER: b""}) == b""
