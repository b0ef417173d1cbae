"""Each exception of hvac and requests becomes a fault that says what to do, and quotes no data."""

from pathlib import Path

import hvac.exceptions
import pytest
import requests.exceptions

from sidecar.vault.errors import (
    VaultFault,
    VaultForbidden,
    VaultNotFound,
    VaultRejected,
    VaultUnreachable,
)
from sidecar.vault.translate import translate

SECRET = "https://vault.example/v1/secret?token=s.verysecret"
KINDS: list[tuple[type[Exception], type[VaultFault]]] = [
    (requests.exceptions.ConnectionError, VaultUnreachable),
    (requests.exceptions.ConnectTimeout, VaultUnreachable),
    (requests.exceptions.ReadTimeout, VaultUnreachable),
    (requests.exceptions.SSLError, VaultUnreachable),
    (requests.exceptions.ChunkedEncodingError, VaultUnreachable),
    (requests.exceptions.ContentDecodingError, VaultRejected),
    (hvac.exceptions.Forbidden, VaultForbidden),
    (hvac.exceptions.InvalidPath, VaultNotFound),
    (hvac.exceptions.InvalidRequest, VaultRejected),
]


@pytest.mark.parametrize(("kind", "fault"), KINDS, ids=[row[0].__name__ for row in KINDS])
def test_a_kind_has_its_fault(kind: type[Exception], fault: type[VaultFault]) -> None:
    found = translate(kind(SECRET), "http://127.0.0.1:8200: reading secret/a")
    assert type(found) is fault
    assert str(found).startswith("http://127.0.0.1:8200: reading secret/a: ")
    assert "verysecret" not in str(found)


def test_a_file_that_cannot_be_used_is_the_reason(tmp_path: Path) -> None:
    absent = tmp_path / "ca.pem"
    found = translate(requests.exceptions.SSLError(SECRET), "reading", [None, str(absent)])
    assert str(absent) in str(found)
    assert "verysecret" not in str(found)
