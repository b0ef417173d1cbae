"""An issuer's keys by discovery, from a real TLS server: what moves, and what goes wrong."""

import json
import logging
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from sidecar.config import model
from sidecar.keys.discovery import OAUTH, OPENID
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.oidc_source import (
    LEAST_METADATA_SECONDS,
    METADATA_SECONDS,
    MOST_KEY_SECONDS,
    MOST_METADATA_SECONDS,
    OidcKeySource,
)
from sidecar.keys.refresher import EARLY_REFRESH_SECONDS, KeyRefresher
from sidecar.tokens.keyring import KeyRing
from tests.keys.test_sources import jwk
from tests.support.publisher import Page, PublisherServer

REALM = "/realms/shop"
OPENID_PATH, OAUTH_PATH = REALM + OPENID, OAUTH + REALM
KEYS, OTHER_KEYS = "/certs", "/new/certs"
TIMEOUT_SECONDS = 0.5


class Idp:
    """An issuer that publishes its metadata and keys, and a source that reads them."""

    def __init__(self, server: PublisherServer) -> None:
        server.forget()
        self.server = server
        self.issuer = server.origin + REALM
        self.seconds = 1000.0
        settings = model.OidcKeys(ca_file=server.ca_file, timeout_seconds=TIMEOUT_SECONDS)
        self.source = OidcKeySource(settings, self.issuer, clock=lambda: self.seconds)
        self.publish_metadata()
        self.publish_keys("a")

    def publish_metadata(
        self, *headers: tuple[str, str], at: str = OPENID_PATH, keys: str = KEYS, **changes: Any
    ) -> None:
        members = {"issuer": self.issuer, "jwks_uri": self.server.origin + keys, **changes}
        self.server.pages[at] = Page(json.dumps(members).encode(), headers=headers)

    def publish_keys(self, *kids: str, at: str = KEYS, cache_control: str = "no-cache") -> None:
        body = json.dumps({"keys": [jwk(kid=kid) for kid in kids]}).encode()
        headers = (("Cache-Control", cache_control), ("ETag", f'"{"-".join(kids)}"'))
        self.server.pages[at] = Page(body, headers=headers)

    async def kids(self) -> list[str]:
        return [key.kid for key in (await self.source.fetch()).keys]

    def asked(self) -> list[str]:
        """Return the paths that were asked for since the last call."""
        paths = self.server.paths
        self.server.asked.clear()
        return paths


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublisherServer]:
    with PublisherServer(tmp_path_factory.mktemp("publisher")) as running:
        yield running


@pytest.fixture
def idp(server: PublisherServer) -> Iterator[Idp]:
    made = Idp(server)
    yield made
    made.source._client.reconnect()
    made.source.close()


async def test_keys_are_found_and_bound_to_the_issuer(idp: Idp) -> None:
    statement = await idp.source.fetch()
    assert [(key.kid, key.issuer) for key in statement.keys] == [("a", idp.issuer)]
    assert idp.asked() == [OPENID_PATH, KEYS]


async def test_two_issuers_that_share_one_key_set_have_each_their_own_keys(idp: Idp) -> None:
    """One kid, one key, two issuers: a key verifies the tokens of the issuer it was read for."""
    other = idp.server.origin + "/realms/other"
    members = {"issuer": other, "jwks_uri": idp.server.origin + KEYS}
    idp.server.pages["/realms/other" + OPENID] = Page(json.dumps(members).encode())
    settings = model.OidcKeys(ca_file=idp.server.ca_file, timeout_seconds=TIMEOUT_SECONDS)
    second = OidcKeySource(settings, other, clock=lambda: idp.seconds)
    try:
        ring = KeyRing([*(await idp.source.fetch()).keys, *(await second.fetch()).keys])
    finally:
        second._client.reconnect()
        second.close()
    assert [(key.kid, key.issuer) for key in ring.find("a")] == [("a", idp.issuer), ("a", other)]


async def test_the_metadata_of_rfc_8414_are_found_where_there_are_no_others(idp: Idp) -> None:
    del idp.server.pages[OPENID_PATH]
    idp.publish_metadata(at=OAUTH_PATH)
    assert await idp.kids() == ["a"]
    assert idp.asked() == [OPENID_PATH, OAUTH_PATH, KEYS]


async def test_an_issuer_without_metadata_is_named_with_both_places(idp: Idp) -> None:
    del idp.server.pages[OPENID_PATH]
    with pytest.raises(Fault, match="answered 404") as fault:
        await idp.source.fetch()
    assert OPENID_PATH in str(fault.value)
    assert OAUTH_PATH in str(fault.value)


async def test_metadata_that_are_not_believed_are_not_replaced_by_the_other_ones(idp: Idp) -> None:
    idp.publish_metadata(issuer="https://other.example")
    idp.publish_metadata(at=OAUTH_PATH)
    with pytest.raises(Fault, match=r"its issuer is 'https://other\.example'") as fault:
        await idp.source.fetch()
    assert OPENID_PATH in str(fault.value)
    assert idp.asked() == [OPENID_PATH]


async def test_the_metadata_are_read_again_on_a_schedule_and_followed(
    idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    await idp.kids()
    idp.publish_metadata(keys=OTHER_KEYS)
    idp.publish_keys("b", at=OTHER_KEYS)
    idp.seconds += METADATA_SECONDS - 1
    assert await idp.kids() == ["a"]
    idp.seconds += 1
    with caplog.at_level(logging.INFO, logger="sidecar.keys"):
        assert await idp.kids() == ["b"]
    assert idp.asked() == [OPENID_PATH, KEYS, KEYS, OPENID_PATH, OTHER_KEYS]
    assert f"the keys moved to {idp.server.origin}{OTHER_KEYS}" in caplog.text


SCHEDULES = [
    ("max-age=120", 120.0),
    ("max-age=1", LEAST_METADATA_SECONDS),
    ("no-store", LEAST_METADATA_SECONDS),
    ("max-age=86400", MOST_METADATA_SECONDS),
]


@pytest.mark.parametrize(("said", "seconds"), SCHEDULES, ids=[row[0] for row in SCHEDULES])
async def test_the_metadata_say_how_long_they_are_fresh(
    idp: Idp, said: str, seconds: float
) -> None:
    idp.publish_metadata(("Cache-Control", said))
    await idp.kids()
    idp.seconds += seconds - 1
    await idp.kids()
    assert idp.asked() == [OPENID_PATH, KEYS, KEYS]
    idp.seconds += 1
    await idp.kids()
    assert idp.asked() == [OPENID_PATH, KEYS]


LOST: list[tuple[str, Page]] = [
    ("are gone", Page(status=404)),
    ("answer with an error", Page(status=500)),
    ("redirect", Page(status=301, headers=(("Location", OTHER_KEYS),))),
    ("are a page", Page(b"<html>")),
]


@pytest.mark.parametrize("page", [row[1] for row in LOST], ids=[row[0] for row in LOST])
async def test_keys_that_can_not_be_read_where_they_were_are_looked_for_at_once(
    idp: Idp, page: Page
) -> None:
    await idp.kids()
    idp.publish_metadata(keys=OTHER_KEYS)
    idp.publish_keys("b", at=OTHER_KEYS)
    idp.server.pages[KEYS] = page
    assert await idp.kids() == ["b"]
    assert idp.asked() == [OPENID_PATH, KEYS, KEYS, OPENID_PATH, OTHER_KEYS]


async def test_keys_that_did_not_move_are_asked_for_once(idp: Idp) -> None:
    await idp.kids()
    idp.server.pages[KEYS] = Page(status=500)
    with pytest.raises(Fault, match="certs: answered 500"):
        await idp.source.fetch()
    assert idp.asked() == [OPENID_PATH, KEYS, KEYS, OPENID_PATH]


async def test_while_the_metadata_can_not_be_reached_keys_are_read_where_they_were(
    idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    await idp.kids()
    idp.publish_keys("a", "b")
    idp.server.pages[OPENID_PATH] = Page(status=503)
    for _ in range(2):
        idp.seconds += METADATA_SECONDS
        assert await idp.kids() == ["a", "b"]
    idp.publish_metadata()
    idp.seconds += METADATA_SECONDS
    with caplog.at_level(logging.INFO, logger="sidecar.keys"):
        await idp.kids()
    said = [record.getMessage() for record in caplog.records]
    assert [message.partition("; ")[2] for message in said if "503" in message] == [
        "its keys are read where they were"
    ]
    assert said[-1].endswith("the metadata can be read again")


async def test_metadata_that_turn_against_the_issuer_are_a_fault(idp: Idp) -> None:
    await idp.kids()
    idp.publish_metadata(issuer="https://other.example")
    idp.seconds += METADATA_SECONDS
    with pytest.raises(Fault, match="its issuer is"):
        await idp.source.fetch()
    assert KEYS not in idp.asked()[2:]


async def test_fresh_keys_are_not_asked_for_and_five_minutes_is_the_most(idp: Idp) -> None:
    idp.publish_keys("a", cache_control="max-age=86400")
    await idp.kids()
    idp.publish_keys("b")
    idp.seconds += MOST_KEY_SECONDS - 1
    assert await idp.kids() == ["a"]
    assert idp.asked() == [OPENID_PATH, KEYS]
    idp.seconds += 1
    assert await idp.kids() == ["b"]
    assert idp.asked() == [KEYS]


async def test_revalidation_asks_for_the_keys_whatever_is_fresh(idp: Idp) -> None:
    idp.publish_metadata(("Cache-Control", "max-age=3600"))
    idp.publish_keys("a", cache_control="max-age=300")
    await idp.kids()
    idp.publish_keys("a", "b")
    idp.source.revalidate()
    assert await idp.kids() == ["a", "b"]
    assert idp.asked() == [OPENID_PATH, KEYS, KEYS]
    idp.seconds += LEAST_METADATA_SECONDS
    idp.source.revalidate()
    await idp.kids()
    assert idp.asked() == [OPENID_PATH, KEYS]


async def test_an_unknown_kid_asks_the_issuer_at_most_every_five_seconds(idp: Idp) -> None:
    idp.publish_keys("a", cache_control="max-age=300")
    refresher = KeyRefresher(
        [idp.source],
        model.Keys(),
        token_seconds={idp.source.issuer: 930},
        clock=lambda: idp.seconds,
        now=wall_seconds,
        jitter=lambda: 0.0,
        publish=lambda _view: None,
        on_state=lambda _before, _after, _why: None,
    )
    await refresher.load()
    asked = []
    for pause_seconds in (0.0, EARLY_REFRESH_SECONDS - 1, 1.0):
        idp.seconds += pause_seconds
        refresher.request_refresh()
        await refresher._round()
        asked.append(len(idp.asked()))
    assert asked == [3, 0, 1]
    assert await refresher.refresh() is KeyState.ACTIVE
    assert idp.asked() == [KEYS]


async def test_a_slow_issuer_is_cut_off(idp: Idp) -> None:
    released = Event()
    idp.server.pages[OPENID_PATH] = Page(trickle=lambda _write: released.wait(20))
    with pytest.raises(Fault, match="Timeout"):
        await idp.source.fetch()
    released.set()
