"""``sidecar config envoy``: what Envoy must remove, and whether it does."""

import json
import re
from pathlib import Path
from textwrap import indent

import pytest

from tests.cli.commands import Run

ROOT = Path(__file__).parents[2]


def test_config_envoy_prints_what_envoy_needs_and_checks_a_file(run: Run, tmp_path: Path) -> None:
    config, envoy = tmp_path / "config.yaml", ROOT / "envoy" / "edge.yaml"
    text = (ROOT / "config.example.yaml").read_text()
    config.write_text(text)
    code, out, _ = run("config", "envoy", config, "--check", envoy)
    assert (code, out) == (0, f"{envoy}: removes every header that {config} requires\n")
    assert "sidecar config envoy" not in "".join(run("config", "check", config)[1:])
    assert "\nheaders:\n" in text
    config.write_text(
        text.replace("\nheaders:\n", "\nheaders:\n  remove_from_request: [x-debug]\n")
    )
    code, out, _ = run("config", "envoy", config, "--check", envoy)
    assert code == 1
    assert "edge: request_mutations let x-debug through, which only the sidecar may set" in out
    code, out, _ = run("config", "envoy", config)
    assert code == 0
    assert out.count("- remove: x-debug\n") == 2
    assert f"sidecar config envoy {config}" in run("config", "check", config)[2]


def test_routes_with_clients_need_the_client_s_certificate(run: Run, tmp_path: Path) -> None:
    config, edge = tmp_path / "config.yaml", ROOT / "envoy" / "edge.yaml"
    text = (ROOT / "config.example.yaml").read_text()
    route = '  - {name: mesh, path_prefix: /mesh, auth: none, clients: ["spiffe://d/*"]}\n'
    config.write_text(text.replace("\nroutes:\n", f"\nroutes:\n{route}", 1))
    code, out, _ = run("config", "envoy", config, "--check", edge)
    assert code == 1
    said = "edge: ext_authz needs include_peer_certificate: true, or nobody passes routes with"
    assert out.count(f"{said} clients or bound to certificates (mesh)") == 1, (
        "the listener that only redirects needs none"
    )
    envoy = tmp_path / "envoy.yaml"
    authz = r"(\.ext_authz\.v3\.ExtAuthz\n)( +)"
    sends = r"\1\2include_peer_certificate: true\n\2"
    envoy.write_text(re.sub(authz, sends, edge.read_text()))
    assert said not in run("config", "envoy", config, "--check", envoy)[1]


def test_routes_that_take_proofs_need_the_header_in_which_they_come(
    run: Run, tmp_path: Path
) -> None:
    config, edge = tmp_path / "config.yaml", ROOT / "envoy" / "edge.yaml"
    text = (ROOT / "config.example.yaml").read_text()
    route = "  - {name: pay, path_prefix: /pay, keep_overrides: [dpop], binding: {by: [dpop]}}\n"
    config.write_text(text.replace("\nroutes:\n", f"\nroutes:\n{route}", 1))
    assert run("config", "envoy", config, "--check", edge)[0] == 0
    assert "# In Envoy's route for pay" not in run("config", "envoy", config)[1]
    said = (
        "pay: the proof of a bound token is there (routes[].binding). Envoy must send it ({exact: d"
    )
    assert said in run("config", "check", config)[1]
    envoy = tmp_path / "envoy.yaml"
    envoy.write_text(re.sub(r" +- {exact: dpop}[^\n]*\n", "", edge.read_text()))
    code, out, _ = run("config", "envoy", config, "--check", envoy)
    assert code == 1
    said = (
        "edge: ext_authz's allowed_headers need {exact: dpop}: the proof of a bound token is there"
    )
    assert out.count(f"{said} (routes[].binding) (pay)") == 1
    prefix = edge.read_text().replace("{exact: dpop}", "{prefix: dp}")
    envoy.write_text(prefix)
    assert run("config", "envoy", config, "--check", envoy)[0] == 0


def test_request_ids_that_are_kept_back_are_noted(run: Run, tmp_path: Path) -> None:
    config, edge = ROOT / "config.example.yaml", ROOT / "envoy" / "edge.yaml"
    said = "note: ext_authz's allowed_headers do not name {exact: x-request-id}"
    assert said not in run("config", "envoy", config, "--check", edge)[1]
    envoy = tmp_path / "envoy.yaml"
    envoy.write_text(re.sub(r" +- {exact: x-request-id}[^\n]*\n", "", edge.read_text()))
    code, out, _ = run("config", "envoy", config, "--check", envoy)
    assert (code, out.count(said)) == (0, 1)
    assert "# - {exact: x-request-id}" in run("config", "envoy", config)[1]
    _, out, _ = run("config", "envoy", config, "--check", envoy, "--json")
    assert len(json.loads(out)["notes"]) == 1


MANAGER = b'{"@type": x/HttpConnectionManager, http_filters: '


@pytest.mark.parametrize(
    "content",
    [
        MANAGER + b'[{typed_config: {"@type": x/ext_authz.v3.ExtAuthz}}], route_config: 1}',
        MANAGER + b"null}",
        MANAGER + b"[1]}",
    ],
    ids=["a number for routes", "no filters", "a number for a filter"],
)
def test_config_envoy_says_what_is_no_envoy(run: Run, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "envoy.yaml"
    path.write_bytes(content)
    code, _, err = run("config", "envoy", ROOT / "config.example.yaml", "--check", path)
    assert code == 1
    assert f"{path} is not a configuration that Envoy accepts" in err


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"a: [", 2, "is not YAML"),
        (b"a: &a [*a]", 2, "is nested too deeply"),
        (b"a: 1\na: 2\n", 2, "line 2: a: is set twice"),
        (
            b"disabled: no\n",
            2,
            "line 1: disabled: is true or false for Envoy",
        ),
        (b"\xff", 1, "is not UTF-8 text"),
        (None, 1, "cannot be read"),
    ],
    ids=["broken", "itself within itself", "a key twice", "two readings", "no text", "absent"],
)
def test_config_envoy_says_what_is_wrong_with_a_file(
    run: Run, tmp_path: Path, content: bytes | None, code: int, said: str
) -> None:
    path = tmp_path / "envoy.yaml"
    if content is not None:
        path.write_bytes(content)
    found, _, err = run("config", "envoy", ROOT / "config.example.yaml", "--check", path)
    assert found == code
    assert str(path) in err
    assert said in err


def test_an_envoy_configuration_may_use_aliases(run: Run, tmp_path: Path) -> None:
    """The listeners of the shipped edge stand under a name that is ignored, and are used by it."""
    path = tmp_path / "envoy.yaml"
    text = (ROOT / "envoy" / "edge.yaml").read_text()
    before, found, after = text.partition("\nstatic_resources:\n")
    assert found
    lines = after.splitlines(keepends=True)
    end = next((n for n, line in enumerate(lines) if line[:1].isalpha()), len(lines))
    section, rest = "".join(lines[:end]), "".join(lines[end:])
    path.write_text(
        f"{before}\nunused: !ignore\n  all: &all\n{indent(section, '  ')}\n{rest}\n"
        "static_resources: *all\n"
    )
    code, out, err = run("config", "envoy", ROOT / "config.example.yaml", "--check", path)
    assert (code, err) == (0, "")
    assert "removes every header" in out
