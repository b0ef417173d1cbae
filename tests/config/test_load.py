"""A configuration: what it defaults to, and what is said of a bad one."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from sidecar.common.errors import ConfigFault
from sidecar.config import load_config, parse_config
from sidecar.config.headers import BUILT_IN, HSTS
from sidecar.config.yamltree import parse_yaml

ROOT = Path(__file__).parents[2]
MINIMAL = """\
vault:
  address: https://vault.internal:8200
  auth: {method: token_file, path: /run/vault/token}
tokens:
  issuers: [{issuer: https://iam.example, audiences: [https://api.example]}]
routes:
  - {name: api, path_prefix: /}
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigFault) as fault:
        parse_config(text, "test.yaml")
    return list(fault.value.problems)


def test_the_example_loads() -> None:
    config = load_config(ROOT / "config.example.yaml")
    assert [route.name for route in config.routes] == ["assets", "landing", "api"]


def test_the_example_shows_the_defaults() -> None:
    """Uncommenting every default changes nothing; beside it stand the platform's own hosts."""
    text = (ROOT / "config.example.yaml").read_text()
    minimal = parse_config(MINIMAL, "test.yaml")
    example = load_config(ROOT / "config.example.yaml")
    for name in ("shell", "static"):
        (shown,) = example.headers.csp[name].enforced
        (default,) = minimal.headers.csp[name].enforced
        own = {k: tuple(v for v in vs if "septemcore" not in v) for k, vs in shown.items()}
        assert own == default
        assert shown != default
    assert structs.replace(example.headers, csp={}) == structs.replace(minimal.headers, csp={})
    assert example.keys == minimal.keys
    for line in ("max_token_bytes: 8192", "max_lifetime_seconds: 900", "leeway_seconds: 30"):
        assert f"# {line}" in text
        name, _, value = line.partition(": ")
        assert getattr(minimal.tokens, name) == float(value)
    assert f"# hsts: {HSTS}" in text
    assert f"# max_age_seconds: {minimal.keys.max_age_seconds:.0f}" in text


def test_the_defaults_are_the_security_models() -> None:
    config = parse_config(MINIMAL, "test.yaml")
    assert config.tokens.max_token_bytes == 8 * 1024
    assert config.tokens.max_lifetime_seconds == 15 * 60
    assert config.keys.max_age_seconds == 7 * 24 * 3600
    assert config.headers.hsts == "max-age=31536000; includeSubDomains; preload"
    (shell,) = config.headers.csp["shell"].enforced
    assert shell["script-src"] == ("'self'",)
    assert shell["connect-src"] == ("'self'", "{tenant_domain}")
    assert config.routes[0].auth == "required"


def test_the_example_has_the_security_models_hosts() -> None:
    (shell,) = load_config(ROOT / "config.example.yaml").headers.csp["shell"].enforced
    assert shell["script-src"] == ("'self'", "cdn.septemcore.com")
    assert shell["connect-src"] == ("'self'", "api.septemcore.com", "{tenant_domain}")


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_built_in_profile_names_a_host(name: str) -> None:
    """Whose platform it is, the configuration says: nobody's CDN is on everybody's pages."""
    profile = BUILT_IN[name]
    for policy in (*profile.enforced, *profile.report_only):
        for values in policy.values():
            assert not [value for value in values if "." in value]


MODULE = MINIMAL.replace("path_prefix: /", "path_prefix: /, methods: [POST], module: signed")
BAD: list[tuple[str, str, str]] = [
    ("unknown key", MINIMAL + "rooutes: []\n", "line 8: rooutes: is not a setting"),
    (
        "unknown nested key",
        MINIMAL.replace("path_prefix: /", "path_prefix: /, atuh: none"),
        "line 7: routes[0].atuh: is not a setting",
    ),
    (
        "a control character",
        MINIMAL.replace("path_prefix: /", 'path_prefix: "/\x7f"'),
        "line 7: (the file): is not YAML: has the character U+007F",
    ),
    ("repeated key", MINIMAL + "routes: []\n", "line 8: routes: is set twice"),
    ("missing section", "routes: [{name: a, path: /}]\n", "vault: is missing"),
    ("wrong type", MINIMAL + "log: {level: loud}\n", "line 8: log.level: invalid enum value"),
    ("a list for a mapping", MINIMAL + "log: []\n", "log: must be a mapping, not a list"),
    ("no number", MINIMAL + "keys: {max_age_seconds: soon}\n", "expected `float`"),
    ("out of bounds", MINIMAL + "keys: {poll_seconds: 0}\n", "keys.poll_seconds: expected"),
    ("unknown method", MINIMAL.replace("token_file", "magic"), "vault.auth.method: must be one"),
    ("method missing", MINIMAL.replace("method: token_file, ", ""), "vault.auth.method: is miss"),
    ("empty list", MINIMAL.replace("[https://api.example]", "[]"), "audiences: expected"),
    ("both kinds of path", MINIMAL.replace("name: api", "name: api, path: /"), "routes[0]: needs"),
    ("no kind of path", MINIMAL.replace(", path_prefix: /", ""), "routes[0]: needs either"),
    (
        "unknown profile",
        MINIMAL.replace("name: api", "name: api, csp: x"),
        "routes[0].csp: is not the name",
    ),
    ("route twice", MINIMAL + "  - {name: api, path: /a}\n", "'api' is used 2 times"),
    (
        "admin in the open",
        MINIMAL + "listen: {admin: {address: '0.0.0.0:9102'}}\n",
        "listen.admin.address: must be on loopback",
    ),
    (
        "sds in the open",
        MINIMAL + "listen: {sds: {address: '10.0.0.1:9101'}}\n",
        "listen.sds.address: must be on loopback",
    ),
    (
        "one port twice",
        MINIMAL + "listen: {admin: {address: '127.0.0.1:9100'}}\n",
        "listen.admin.address: is also that of listen.authz",
    ),
    (
        "a drain that was over before it began",
        MINIMAL + "listen: {drain_notice_seconds: -1}\n",
        "listen.drain_notice_seconds: expected",
    ),
    (
        "streams that end with a token that nobody reads",
        MINIMAL.replace("name: api", "name: api, auth: none, end_streams_with_token: true"),
        "routes[0].end_streams_with_token: has no effect",
    ),
    ("a module route without modules", MODULE, "routes[0].module: needs the section modules"),
    (
        "a bundle larger than its message",
        MODULE + "modules: {max_bundle_bytes: 4194304}\n",
        "modules.max_bundle_bytes: must stay 131072 below",
    ),
    (
        "owners that nobody is",
        MODULE.replace("module: signed", "module: unsigned_by_owner") + "modules: {}\n",
        "routes[0].module: needs modules.owner_roles",
    ),
    (
        "a module from anybody",
        MODULE.replace("module: signed", "module: signed, auth: optional") + "modules: {}\n",
        "routes[0].module: needs auth: required",
    ),
    (
        "a module in shadow mode",
        MODULE.replace("module: signed", "module: signed, shadow: true") + "modules: {}\n",
        "routes[0].module: can't be in shadow mode",
    ),
    (
        "a module in a GET",
        MODULE.replace("[POST]", "[POST, GET]") + "modules: {}\n",
        "routes[0].module: needs methods",
    ),
    (
        "a bundle in a form",
        MODULE + "modules: {content_types: [text/javascript, multipart/form-data]}\n",
        "modules.content_types[1]: is decoded by frameworks",
    ),
    (
        "a bundle in an encoded form",
        MODULE + "modules: {content_types: [application/x-www-form-urlencoded]}\n",
        "modules.content_types[0]: is decoded by frameworks",
    ),
    (
        "a type that is none",
        MODULE + "modules: {content_types: [javascript]}\n",
        "modules.content_types[0]: expected",
    ),
    (
        "workers on a port that is taken",
        MINIMAL + "listen: {authz: {workers: 3}}\n",
        "listen.authz.workers: number 2 would listen on 127.0.0.1:9102, which is listen.admin",
    ),
    (
        "workers on every address",
        MINIMAL + "listen: {authz: {address: '0.0.0.0:9100', workers: 3}}\n",
        "number 2 would listen on 0.0.0.0:9102, which is listen.admin",
    ),
    (
        "a worker on a socket that is taken",
        MINIMAL + "listen: {authz: {address: 'unix:/run/a.sock', workers: 2}, "
        "sds: {address: 'unix:/run/a-1.sock'}}\n",
        "number 1 would listen on unix:/run/a-1.sock, which is listen.sds",
    ),
    (
        "workers past the last port",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:65535', workers: 2}}\n",
        "listen.authz.workers: need the ports up to 127.0.0.1:65536",
    ),
    (
        "workers on any port",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:0', workers: 2}}\n",
        "listen.authz.address: needs a port",
    ),
    (
        "workers of the other engine",
        MINIMAL + "listen: {authz: {address: '127.0.0.1:9110', workers: 2, engine: grpcio}}\n",
        "listen.authz.engine: must be h2",
    ),
    ("no worker", MINIMAL + "listen: {authz: {workers: 0}}\n", "listen.authz.workers: expected"),
    ("http to a far Vault", MINIMAL.replace("https://vault", "http://vault"), "must be https"),
    (
        "a directive that breaks out",
        MINIMAL + 'headers: {csp: {x: {enforced: [{img-src: ["a;b"]}]}}}\n',
        "line 8: headers.csp.x.enforced[0].img-src[0]: ';' ends a directive",
    ),
    ("a header with a line break", MINIMAL + 'headers: {hsts: "a\\r\\nb"}\n', "headers.hsts"),
    ("not YAML", "a: [", "is not YAML"),
    ("empty", "", "is empty"),
    ("a scalar", "just text", "must be a mapping"),
    ("a key that is no name", MINIMAL + "1: 2\n", "is not a name"),
    ("a YAML tag", MINIMAL + "log: !!python/object:os.system {}\n", "unsupported YAML type"),
    ("an alias", "log: &a {level: info}\naudit: *a\n", "line 2: (the file): is not YAML: aliases"),
    ("a date", MINIMAL.replace("name: api", "name: 2020-01-01"), "unsupported YAML type"),
    ("a whole number that is none", "a: !!int ''\n", "line 1: a: is not a whole number"),
    ("a truth that is none", "a: !!bool xyz\n", "line 1: a: is not true or false"),
    ("a number that is none", "a: !!float x\n", "line 1: a: is not a number"),
    ("a mapping that is none", "a: !!map 5\n", "line 1: a: is not a mapping"),
    ("a character there is not", 'a: "\\U00110000"\n', "is not YAML"),
    ("a NUL", "a: \x00\n", "is not YAML"),
    ("two documents", "a: 1\n---\nb: 1\n", "is not YAML"),
    ("too deep", "[" * 100 + "]" * 100, "nested too deeply"),
]


@pytest.mark.parametrize(
    ("written", "read"),
    [("0101", 101), ("0x1F", 31), ("0o17", 15), ("1_000", 1000), ("off", "off"), ("no", "no"),
     ("1:30", "1:30"), ("true", True), ("~", None), ("1e3", 1000.0), ("'1'", "1")],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(written: str, read: object) -> None:
    tree = parse_yaml(f"a: {written}\n")
    assert tree.problems == []
    assert tree.value == {"a": read}
    assert type(tree.value["a"]) is type(read)


@given(st.text(max_size=60) | st.text(alphabet="a:[]{}!&*|>-? \n'\"#%@0x.<", max_size=60))
def test_no_text_makes_the_parser_raise(text: str) -> None:
    tree = parse_yaml(text)
    assert tree.problems or tree.value is not None or text.strip()


@pytest.mark.parametrize(("text", "said"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_problems_are_named_with_their_place(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text)), problems(text)


def test_every_problem_is_reported_at_once() -> None:
    found = problems(
        MINIMAL.replace("https://vault.internal:8200", "ftp://x").replace("name: api", "name: A!")
        + "log: {level: loud}\nnonsense: 1\n"
    )
    assert len(found) == 4


def test_settings_cannot_be_changed() -> None:
    config = parse_config(MINIMAL, "test.yaml")
    with pytest.raises(AttributeError):
        config.log.level = "debug"  # type: ignore[misc]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault) as fault:
        load_config(tmp_path / "none.yaml")
    assert "cannot be read" in fault.value.problems[0]


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigFault) as fault:
        load_config(path)
    assert fault.value.problems == ("is not UTF-8",)
