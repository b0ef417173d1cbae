"""Documents over HTTPS: asked for again only if they have changed, and bounded."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sidecar.common.clock import monotonic_seconds
from sidecar.keys.published import (
    MAX_DOCUMENT_BYTES,
    DocumentClient,
    JwksUnreachable,
    NotPublished,
    Published,
    PublishedDocument,
)
from tests.support.publisher import Page, PublisherServer

PATH = "/document"
TIMEOUT_SECONDS = 0.4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublisherServer]:
    with PublisherServer(tmp_path_factory.mktemp("publisher")) as running:
        yield running


@pytest.fixture
def publisher(server: PublisherServer) -> PublisherServer:
    server.forget()
    return server


@pytest.fixture
def client(publisher: PublisherServer) -> Iterator[DocumentClient]:
    made = DocumentClient("the keys", publisher.ca_file, TIMEOUT_SECONDS, monotonic_seconds)
    yield made
    made.reconnect()
    made.close()


async def read(client: DocumentClient, document: PublishedDocument) -> Published:
    return await client.run(lambda: client.read(document))


VALIDATORS = [
    ("ETag", '"v1"', "if-none-match"),
    ("Last-Modified", "Wed, 25 Nov 2026 10:00:00 GMT", "if-modified-since"),
]


@pytest.mark.parametrize(("header", "value", "condition"), VALIDATORS)
async def test_the_validator_of_the_last_answer_is_sent_back(
    publisher: PublisherServer, client: DocumentClient, header: str, value: str, condition: str
) -> None:
    publisher.pages[PATH] = Page(b"one", headers=((header, value), ("Cache-Control", "max-age=9")))
    document = PublishedDocument(publisher.origin + PATH, "application/json")
    first = await read(client, document)
    assert first == Published(b"one", "max-age=9", None)
    publisher.pages[PATH] = Page(status=304, headers=(("Age", "3"),))
    again = await read(client, document)
    assert again.content is first.content
    assert again.age == "3"
    assert condition not in publisher.asked[0].headers
    assert publisher.asked[1].headers[condition] == value
    assert publisher.asked[1].headers["accept"] == "application/json"


async def test_what_has_no_validator_is_sent_again_and_is_the_same_object_if_it_is_equal(
    publisher: PublisherServer, client: DocumentClient
) -> None:
    publisher.pages[PATH] = Page(b"one")
    document = PublishedDocument(publisher.origin + PATH, "application/json")
    contents = [(await read(client, document)).content for _ in range(2)]
    assert contents[0] is contents[1]
    publisher.pages[PATH] = Page(b"two")
    assert (await read(client, document)).content == b"two"
    assert "if-none-match" not in publisher.asked[2].headers


REFUSED = [
    ("a redirect", Page(status=302, headers=(("Location", PATH),)), "redirects are not followed"),
    ("an error of the server", Page(status=503), "answered 503"),
    ("too many requests", Page(status=429), "answered 429"),
    ("not modified, of nothing", Page(status=304), "answered 304"),
    ("too large", Page(b" " * (MAX_DOCUMENT_BYTES + 1)), "ContentDecodingError"),
]


@pytest.mark.parametrize(
    ("page", "said"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
async def test_what_is_no_document(
    publisher: PublisherServer, client: DocumentClient, page: Page, said: str
) -> None:
    publisher.pages[PATH] = page
    document = PublishedDocument(publisher.origin + PATH, "application/json")
    with pytest.raises(JwksUnreachable, match=said) as fault:
        await read(client, document)
    assert document.url in str(fault.value)
    assert not isinstance(fault.value, NotPublished)
    assert publisher.paths == [PATH]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 410])
async def test_that_there_is_no_such_document_is_known(
    publisher: PublisherServer, client: DocumentClient, status: int
) -> None:
    publisher.pages[PATH] = Page(status=status)
    with pytest.raises(NotPublished, match=f"answered {status}"):
        await read(client, PublishedDocument(publisher.origin + PATH, "application/json"))


async def test_all_documents_of_one_call_share_its_time(
    publisher: PublisherServer, client: DocumentClient
) -> None:
    """A publisher that trickles holds the thread for one time-out's share, not for one each."""
    ended = threading.Event()

    def trickle(write: Callable[[bytes], object]) -> None:
        while not ended.wait(TIMEOUT_SECONDS / 8):
            write(b" ")

    publisher.pages[PATH] = Page(trickle=trickle)
    document = PublishedDocument(publisher.origin + PATH, "application/json")
    problems: list[str] = []
    done = threading.Event()

    def call() -> None:
        try:
            for _ in range(3):
                try:
                    client.read(document)
                except JwksUnreachable as fault:
                    problems.append(str(fault))
        finally:
            done.set()

    began = monotonic_seconds()
    with pytest.raises(JwksUnreachable, match=r"the keys: no answer within 1\.0 s"):
        await client.run(call)
    assert done.wait(10)
    ended.set()
    assert monotonic_seconds() - began < 2 * TIMEOUT_SECONDS * 2.5
    assert problems[1:] == [f"{document.url}: no time is left to ask for it"] * 2


async def test_a_call_that_hangs_blocks_none_but_its_own_source(client: DocumentClient) -> None:
    release, hangs = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        release.wait(10)

    with pytest.raises(JwksUnreachable, match="no answer within"):
        await client.run(hang)
    assert hangs.is_set()
    with pytest.raises(JwksUnreachable, match="the previous call still hangs"):
        await client.run(hang)
    release.set()


def test_a_ca_file_of_no_use_is_named(publisher: PublisherServer, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent.pem")
    client = DocumentClient("the keys", absent, TIMEOUT_SECONDS, lambda: -1.0)
    with pytest.raises(JwksUnreachable, match=absent):
        client.read(PublishedDocument(publisher.origin + PATH, "application/json"))
