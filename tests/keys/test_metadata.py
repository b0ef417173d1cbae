"""Which of an issuer's two documents is read, and what is known of it."""

import json
from collections.abc import Iterator

import pytest

from sidecar.common.clock import monotonic_seconds
from sidecar.keys.discovery import OAUTH, OPENID, DiscoveryFault
from sidecar.keys.metadata import FoundMetadata, IssuerMetadata
from sidecar.keys.published import DocumentClient, NotPublished
from tests.support.publisher import Page, PublisherServer

REALM = "/r"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublisherServer]:
    with PublisherServer(tmp_path_factory.mktemp("publisher"), tls=False) as running:
        yield running


async def read(server: PublisherServer) -> FoundMetadata:
    metadata = IssuerMetadata(server.origin + REALM)
    client = DocumentClient("the issuer", None, 5.0, monotonic_seconds)
    try:
        return await client.run(lambda: metadata.read(client))
    finally:
        client.close()
        client.reconnect()


def page(server: PublisherServer, issuer: str = "") -> Page:
    uri = f"{server.origin}/keys"
    document = {"issuer": issuer or server.origin + REALM, "jwks_uri": uri}
    return Page(json.dumps(document).encode(), headers=(("Cache-Control", "max-age=7"),))


@pytest.mark.parametrize("path", [REALM + OPENID, OAUTH + REALM])
async def test_either_is_found(server: PublisherServer, path: str) -> None:
    server.forget()
    server.pages[path] = page(server)
    found = await read(server)
    assert found.url == server.origin + path
    assert found.jwks_uri == f"{server.origin}/keys"
    assert found.answer.cache_control == "max-age=7"


async def test_one_that_is_not_believed_is_final(server: PublisherServer) -> None:
    server.forget()
    server.pages = {REALM + OPENID: page(server, "https://other"), OAUTH + REALM: page(server)}
    with pytest.raises(DiscoveryFault, match=f"{OPENID}: its issuer is"):
        await read(server)


async def test_both_that_are_absent_are_named(server: PublisherServer) -> None:
    server.forget()
    with pytest.raises(NotPublished) as fault:
        await read(server)
    assert OPENID in str(fault.value)
    assert OAUTH in str(fault.value)
