"""The module reads a request as the sidecar does, or asks.

Both are given the same requests, many of them odd. Where the module would repeat an answer, the
sidecar must find the very route that it was learnt for, refuse nothing, and write the same text
into its audit log.
"""

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.authz.lenient import fold
from sidecar.authz.request_ids import HEADER, read_request_id
from sidecar.authz.routes import Route, RouteTable
from sidecar.authz.spelling import may_hold
from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.common.errors import Denied
from sidecar.common.redact import redact
from tests.authz.test_request_ids import REQUEST_IDS
from tests.envoy.decision_cache.programs import ADDRESS, build, run
from tests.support.leases import ALL_METHODS, Row, control_image

PARTS = ("config", "route", "request", "payload", "table", "audit", "lease", "fake_envoy")
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ROUTES = (
    Route("admin", "required", path_prefix="/api/admin", roles=frozenset({"admin"})),
    Route("export", "required", path="/api/Export.csv", hosts=("a.example", "*.b.example")),
    Route("writes", "required", path_prefix="/api/items/", methods=frozenset({"POST", "PUT"})),
    Route("api", "required", path_prefix="/api"),
    Route("tenant", "required", path_prefix="/", hosts=("*.tenant.example",), tenant="t1"),
    Route("reports", "required", path_prefix="/Reports/q1.2026"),
    Route("home", "none", path="/"),
    Route("files", "none", path_prefix="/files"),
    Route("odd", "none", path="/a+b%20c"),
    Route("versions", "none", path_prefix="/v1.2/x"),
)
HOSTS = (
    "a.example", "b.example", "x.b.example", "y.x.b.example", "xb.example", "A.example",
    "a.example.", "a.example:80", "t.tenant.example", "tenant.example", "-a.example",
    "a-.example", "a..example", "a_b.example", "1.2.3.4", "[::1]", "", "é.example", ".example",
    f"{'a' * 64}.example", f"{'a' * 63}.example", ".".join(["a" * 60] * 4) + ".aaaaaaaaa",
    ".".join(["a" * 60] * 4) + ".aaaaaaaaaa",
)  # fmt: skip
SEGMENTS = (
    "api", "API", "Api", "admin", "Admin", "admin.", "admin.json", "admin.tar.gz", "admin..json",
    "items", "items.x", "Export.csv", "export.csv", "Export", "export.CSV.gz", "Reports",
    "reports", "q1.2026", "q1", "q1.2026.", "files", "FILES", "x", "x.", ".x", "..", ".", "",
    "a+b", "a%20b", "a+b%20c", "v1.2", "v1", "v1.2.", "X", "a~b", "a;b", "a b", "é",
    "eyJabcdefgh", "s.abcdefghijklmnopqrstuvwx", "x" * 600, "hvs.CAESIJabcdefghijklmnop",
    "abcdefghijklmnopq.abcdefghijklmnopq." + "z" * 50, "a.b.c.d", "%2e", "~",
)  # fmt: skip
QUERIES = (
    "", "a=b", "access_token", "access_token=x", "a=1&access_token=2", "ACCESS_TOKEN=1",
    "access.token=", "access+token", "access%20token", "access%5Ftoken", "%61ccess_token",
    "access%5btoken", "access[token]", "access_toke", "access_access_token", "aaccess_token",
    "access__token", "%", "%a", "%access_token", "%zzaccess_token", "access%2",
    "acc%65ss_tok%65n", "x" * 3000, "a%00b", "access-token", "%2561ccess_token", "accesstoken",
    "acces_token", "accessa_token", "access_tokaccess_token",
)  # fmt: skip


def rows_of(routes: Iterable[Route]) -> Iterator[Row]:
    """Write routes as rows, in their order; a route's number is its scope."""
    for number, route in enumerate(routes):
        prefix = route.path is None
        path = (route.path_prefix or "").rstrip("/") if prefix else str(route.path)
        methods = sum(1 << METHODS.index(method) for method in route.methods) or ALL_METHODS
        for host in route.hosts:
            yield Row(number, path, fold(path), host, 0, methods, prefix)


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("probe"), "probe", PARTS, ADDRESS)


def requests() -> Iterator[tuple[str, str, str]]:
    chosen = random.Random(14)
    for first in SEGMENTS:
        yield "GET", "a.example", f"/{first}"
        for second in SEGMENTS:
            yield "GET", "a.example", f"/{first}/{second}"
    for host in HOSTS:
        for path in ("/api/x", "/api/Export.csv", "/x", "/"):
            yield chosen.choice(METHODS), host, path
    for _ in range(6000):
        depth = chosen.randrange(5)
        path = "/" + "/".join(chosen.choice(SEGMENTS) for _ in range(depth))
        yield chosen.choice((*METHODS, "OPTIONS")), chosen.choice(HOSTS[:10]), path


def test_a_route_that_is_repeated_is_the_sidecars(probe: Path, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(control_image(rows_of(ROUTES)))
    table = RouteTable(ROUTES)
    asked = list(requests())
    said = run(
        probe, "route", str(image), stdin="".join("\0".join(each) + "\n" for each in asked).encode()
    )
    repeated: set[str] = set()
    for (method, host, path), scope in zip(asked, said.decode().split(), strict=True):
        if scope == "-":
            continue
        assert canonical_host(host.encode()) == host
        assert canonical_path(path.encode()) == path
        assert redact(path) == path
        assert table.find(method, host, path) is ROUTES[int(scope)], (method, host, path)
        repeated.add(ROUTES[int(scope)].name)
    assert repeated == {route.name for route in ROUTES} - {"odd"}


@pytest.mark.parametrize(
    "path", ["/api/x", "/api/items/1", "/files/a/b.c", "/", "/api/admin/x", "/v1.2/x"]
)
def test_ordinary_paths_are_repeated(probe: Path, tmp_path: Path, path: str) -> None:
    image = tmp_path / "image"
    image.write_bytes(control_image(rows_of(ROUTES)))
    said = run(probe, "route", str(image), stdin=f"GET\0c.example\0{path}\n".encode())
    found = RouteTable(ROUTES).find("GET", "c.example", path)
    assert found is not None
    assert said.decode().strip() == str(ROUTES.index(found))


def test_the_sidecar_refuses_some_of_these_requests() -> None:
    """Without these the comparison would not be worth much."""
    table = RouteTable(ROUTES)
    refused = 0
    for method, host, path in requests():
        try:
            table.find(method, canonical_host(host.encode()), canonical_path(path.encode()))
        except Denied:
            refused += 1
    assert refused > 500


def test_queries_are_searched_as_the_sidecar_does(probe: Path) -> None:
    said = run(probe, "query", stdin="".join(f"{query}\n" for query in QUERIES).encode())
    expected = [str(int(may_hold(query.encode(), (b"access_token",)))) for query in QUERIES]
    assert said.decode().split() == expected


def test_request_ids_are_taken_as_the_sidecar_takes_them(probe: Path) -> None:
    chosen = random.Random(18)
    alphabet = "0aAzZ9-_eyJ.~%@ \xe9"
    asked = [example for examples in REQUEST_IDS.values() for example in examples]
    asked += [
        "".join(chosen.choices(alphabet[: chosen.choice((11, 17))], k=chosen.randrange(1, 80)))
        for _ in range(3000)
    ]
    raw = [each.encode() for each in asked if "\n" not in each]
    said = run(probe, "id", stdin=b"".join(each + b"\n" for each in raw)).decode().split()
    taken = [str(int(bool(read_request_id({HEADER: each})))) for each in raw]
    assert said == taken
    assert taken.count("1") > 100 < taken.count("0")


def test_times_are_written_as_the_sidecar_writes_them(probe: Path) -> None:
    chosen = random.Random(14)
    times = [0, 951_782_400_000, 951_868_799_999, 4_107_542_400_000, 1_798_761_599_999]
    times += [chosen.randrange(253_402_300_799_999) for _ in range(3000)]
    said = run(probe, "time", stdin="".join(f"{each}\n" for each in times).encode())
    for milliseconds, text in zip(times, said.decode().split(), strict=True):
        second = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        # strftime writes years before 1000 without zeros; none is of this world.
        assert text == f"{second}.{milliseconds % 1000:03}+00:00"
