"""Real servers for tests, as fixtures: `pytest_plugins` of the root conftest."""

import os
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.openbao import OpenBao, enable_kv
from sidecar.config import model

NAMESPACE = os.environ.get("SEPTEM_TEST_NAMESPACE") or None
"""The namespace of OpenBao that tests of Vault run in (`make test` runs them once in one)."""


def started(namespace: str | None = NAMESPACE) -> OpenBao:
    """Start an OpenBao; everything that is done with its ``client`` is in the namespace."""
    server = OpenBao()
    if namespace is not None:
        server.client.write_data(f"sys/namespaces/{namespace}", data={})
        server.client.adapter.namespace = namespace
        enable_kv(server.client, "secret")
    return server


@pytest.fixture(scope="session")
def openbao() -> Iterator[OpenBao]:
    """One OpenBao with a PKI for the whole run; tests must leave it running and unsealed."""
    server = started()
    server.enable_pki(["septemcore.com", "localhost", "example"])
    yield server
    server.stop()


@pytest.fixture
def own_openbao() -> Iterator[OpenBao]:
    """One OpenBao for one test that kills, freezes or seals it."""
    server = started()
    yield server
    server.stop()


@dataclass
class TokenFile:
    """A Vault token in a file, as a Vault agent would keep it."""

    path: Path

    def write(self, token: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(token + "\n")
        fresh.chmod(0o600)
        fresh.rename(self.path)

    def settings(self, address: str, timeout_seconds: float = 5.0) -> model.Vault:
        auth = model.TokenFileAuth(path=str(self.path))
        return model.Vault(
            address=address, auth=auth, timeout_seconds=timeout_seconds, namespace=NAMESPACE
        )


@pytest.fixture
def token_file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "vault-token")


class LaggingVault:
    """A client of Vault that can be made to answer as it did once: a standby that lags."""

    def __init__(self, vault: Any) -> None:
        self._vault = vault
        self._answers: dict[tuple[object, ...], Any] = {}
        self._past: dict[tuple[object, ...], Any] = {}
        self.lags = False

    def remember(self) -> None:
        """Take what was answered last for the past, that is told while it ``lags``."""
        self._past = dict(self._answers)

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def ask(*question: object) -> Any:
            if self.lags and (name, *question) in self._past:
                return self._past[name, *question]
            answer = self._answers[name, *question] = await getattr(self._vault, name)(*question)
            return answer

        return ask
