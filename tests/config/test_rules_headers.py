"""What is said of settings of headers that a browser would read otherwise."""

import pytest

from sidecar.common.errors import ConfigFault
from sidecar.config import parse_config
from sidecar.config.headers import BUILT_IN
from sidecar.config.rules_headers import MAX_RESPONSE_HEADER_BYTES
from tests.config.documents import MINIMAL

TENANT = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def problems(text: str) -> list[str]:
    try:
        parse_config(text, "test.yaml")
    except ConfigFault as fault:
        return list(fault.problems)
    return []


def csp(policy: str, rest: str = "") -> str:
    return MINIMAL + f"headers:\n  csp:\n    x:\n      enforced:\n        - {{{policy}}}\n{rest}"


def cors(policy: str) -> str:
    return MINIMAL + f"headers:\n  cors:\n    x: {{{policy}}}\n"


def tenant(overlay: str, profile: str = "") -> str:
    base = csp("connect-src: [\"'self'\"]", profile)
    return base + f"tenants:\n  - {{tenant_id: {TENANT}, domain: a.example, csp: {overlay}}}\n"


LONG = ", ".join(f"a{number}.{'b' * 63}.{'c' * 63}.example" for number in range(64))
AT = "line 12: headers.csp.x.enforced[0]"
BAD: list[tuple[str, str, str]] = [
    ("misspelt", csp("scirpt-src: [a.example]"), f"{AT}.scirpt-src: is no directive; did you mean"),
    ("unquoted", csp("img-src: [a.example, self]"), f"{AT}.img-src[1]: self without quotes"),
    ("unquoted none", csp("img-src: [none]"), f"{AT}.img-src[0]: none without quotes"),
    (
        "unsafe-inline beside a nonce",
        csp("script-src: [\"'unsafe-inline'\", \"'nonce-{nonce}'\"]"),
        f"{AT}.script-src: 'unsafe-inline' beside a nonce",
    ),
    ("a semicolon", csp('img-src: ["a.example;"]'), f"{AT}.img-src[0]: ';' ends a directive"),
    (
        "a control character",
        csp('img-src: ["a\\u0001"]'),
        f"{AT}.img-src[0]: has the character U+0001",
    ),
    ("a number", csp("img-src: [1]"), f"{AT}.img-src[0]: must be a text of 1 to 512"),
    (
        "an override that is none",
        MINIMAL + "headers: {keep_overrides: [x-tenant-id]}\n",
        "headers.keep_overrides[0]: x-tenant-id is not an override header",
    ),
    (
        "a route's override that is none",
        MINIMAL.replace("routes:\n", "routes:\n  - {name: k, path: /k, keep_overrides: [x-a]}\n"),
        "keep_overrides[0]: x-a is not an override header",
    ),
    (
        "a header without which there is no request",
        MINIMAL + "headers: {remove_from_request: [x-debug, host]}\n",
        "headers.remove_from_request[1]: can't be host",
    ),
    (
        "upgrades only watched",
        MINIMAL + "headers: {csp: {x: {report_only: [{upgrade-insecure-requests: []}]}}}\n",
        "report_only[0].upgrade-insecure-requests: is ignored by browsers in a report-only policy",
    ),
    (
        "additions to what holds no sources",
        MINIMAL + "headers: {csp: {x: {allow_additions: [sandbox]}}}\n",
        "allow_additions[0]: sandbox is not a directive with a source list",
    ),
    (
        "too long to fit",
        csp(f"img-src: [{LONG}], font-src: [{LONG}]"),
        f"{MAX_RESPONSE_HEADER_BYTES} fit",
    ),
    (
        "a referrer policy",
        MINIMAL + "headers: {referrer_policy: never}\n",
        "line 8: headers.referrer_policy: must be one of: no-referrer, ",
    ),
    (
        "a profile's COOP",
        MINIMAL + "headers: {csp: {shell: {cross_origin_opener_policy: same}}}\n",
        "headers.csp.shell.cross_origin_opener_policy: must be one of: same-origin, ",
    ),
    (
        "a feature misspelt",
        MINIMAL + "headers: {permissions_policy: geolocatoin=()}\n",
        "headers.permissions_policy: geolocatoin is not a feature; did you mean geolocation?",
    ),
    (
        "in a profile too",
        MINIMAL + "headers: {csp: {x: {permissions_policy: 'camera=none'}}}\n",
        "headers.csp.x.permissions_policy: 'camera=none' is not feature=(…)",
    ),
    ("HSTS", MINIMAL + "headers: {hsts: max-age}\n", "headers.hsts: has no seconds"),
    (
        "all origins with credentials",
        cors('origins: ["*"], credentials: true'),
        "line 10: headers.cors.x.credentials: can't go with the origin *",
    ),
    (
        "all origins and one",
        cors('origins: ["*", "https://a.example"]'),
        "headers.cors.x.origins: * must be alone",
    ),
    (
        "an origin with a path",
        cors("origins: [https://a.example/]"),
        "headers.cors.x.origins[0]: https://a.example/ is not an origin",
    ),
    ("null", cors('origins: ["null"]'), "so any page can be null"),
    ("TRACE", cors('origins: ["*"], methods: [GET, TRACE]'), "methods[1]: browsers do not send"),
    (
        "a route's policy that is not there",
        MINIMAL.replace("name: api", "name: api, cors: y"),
        "routes[0].cors: is not the name of a policy in headers.cors; there are: none",
    ),
    (
        "unknown profile",
        MINIMAL.replace("name: api", "name: api, csp: x"),
        "routes[0].csp: is not the name",
    ),
    (
        "a directive that breaks out",
        MINIMAL + 'headers: {csp: {x: {enforced: [{img-src: ["a;b"]}]}}}\n',
        "line 8: headers.csp.x.enforced[0].img-src[0]: ';' ends a directive",
    ),
    (
        "a nonce nobody asks for",
        MINIMAL.replace("name: api", "name: api, nonce: no-store"),
        "routes[0].nonce: no policy of headers.csp.shell has 'nonce-{nonce}' in it",
    ),
    (
        "an overlay that is wider",
        tenant("{x: {connect-src: [b.example]}}"),
        "line 14: tenants[0].csp.x.connect-src[0]: b.example is not covered by the profile's",
    ),
    (
        "an overlay of no profile",
        tenant("{y: {connect-src: [b.example]}}"),
        "tenants[0].csp.y: is not a profile of headers.csp; there are: api, none, shell, static, x",
    ),
    (
        "a tenant's domain that is everybody's",
        MINIMAL + f"tenants: [{{tenant_id: {TENANT}, domain: '*'}}]\n",
        "tenants[0].domain: must be a domain name in lower case",
    ),
]


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad(text: str, said: str) -> None:
    found = problems(text)
    assert any(said in problem for problem in found), found
    assert len(found) == 1, found


GOOD = [
    (
        "an addition",
        tenant(
            "{x: {connect-src: [\"'self'\", b.example]}}",
            "      allow_additions: [connect-src]\n",
        ),
    ),
    ("a narrowing", tenant("{x: {connect-src: [\"'none'\"]}}")),
    (
        "a nonce",
        MINIMAL.replace("name: api", "name: api, csp: x, nonce: no-store")
        + "headers: {csp: {x: {report_only: [{script-src: [\"'nonce-{nonce}'\"]}]}}}\n",
    ),
    ("a word that YAML 1.1 takes for false", MINIMAL.replace("name: api", "name: api, nonce: off")),
    (
        "CORS",
        cors('origins: ["https://{tenant_domain}", "https://*.a.example:1"], credentials: true'),
    ),
    ("for a developer", cors('origins: ["http://localhost:3000", "http://127.0.0.1:8080"]')),
]


@pytest.mark.parametrize("text", [g[1] for g in GOOD], ids=[g[0] for g in GOOD])
def test_good(text: str) -> None:
    assert problems(text) == []


def test_built_in_profiles_stay_beside_ones_own() -> None:
    config = parse_config(csp("img-src: [a.example]"), "test.yaml")
    assert set(config.headers.csp) == {*BUILT_IN, "x"}
    assert config.headers.csp["shell"] == BUILT_IN["shell"]
