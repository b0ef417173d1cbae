"""``sidecar idp inspect`` against a real TLS server: what it asks for, says and keeps to itself."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.common.clock import wall_seconds
from sidecar.keys.discovery import OPENID
from tests.cli.commands import Run
from tests.support.publisher import Page, PublisherServer
from tests.support.shaped_issuer import ShapedIssuer, shape_named

KEYS = "/keys"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PublisherServer]:
    with PublisherServer(tmp_path_factory.mktemp("publisher")) as running:
        yield running


@pytest.fixture
def issuer(server: PublisherServer) -> ShapedIssuer:
    """An issuer that publishes all that it should."""
    server.forget()
    made = ShapedIssuer(shape_named("Keycloak, a user"), server.origin)
    document = {"issuer": server.origin, "jwks_uri": server.origin + KEYS}
    server.pages[OPENID] = Page(json.dumps(document).encode())
    server.pages[KEYS] = Page(json.dumps({"keys": [made.jwk()]}).encode())
    return made


@pytest.fixture
def token(issuer: ShapedIssuer, tmp_path: Path) -> Path:
    path = tmp_path / "token.txt"
    path.write_text(issuer.token(wall_seconds()) + "\n")
    return path


def command(server: PublisherServer, *options: object) -> list[object]:
    return ["idp", "inspect", server.origin, "--ca-file", server.ca_file, *options]


def test_the_printed_entry_is_a_configuration_by_which_the_token_is_accepted(
    server: PublisherServer, token: Path, run: Run, tmp_path: Path
) -> None:
    code, out, err = run(*command(server, "--token", token))
    assert (code, err) == (0, "")
    assert "algorithms" in out
    assert "# CHOOSE: write your tenant id" in out
    config = tmp_path / "config.yaml"
    rest = (
        'vault: {address: "https://vault.internal", auth: {method: token_file, path: /x}}\n'
        "routes: [{name: all, path_prefix: /, auth: required}]\n"
        "listen: {authz: {address: '127.0.0.1:9100'}}\n"
    )
    config.write_text(
        f"{rest}tokens:\n  issuers:\n" + "".join(f"    {x}\n" for x in out.splitlines())
    )
    assert run("config", "check", config)[0] == 0
    keys = tmp_path / "keys.json"
    keys.write_bytes(server.pages[KEYS].body)
    verify = ["token", "verify", "--jwks", keys, "--config", config]
    code, out, _ = run(*verify, stdin=token.read_bytes())
    assert (code, json.loads(out)["ok"]) == (0, True)


def test_only_published_documents_are_asked_for_and_the_token_goes_nowhere(
    server: PublisherServer, token: Path, run: Run
) -> None:
    code, out, err = run(*command(server, "--token", token, "--explain", "--json"))
    assert code == 0
    assert server.paths == [OPENID, KEYS]
    for part in token.read_text().strip().split("."):
        assert part not in out + err
        for asked in server.asked:
            assert all(part not in text for text in (asked.path, *asked.headers.values()))


def test_a_token_comes_by_standard_input_too(
    server: PublisherServer, token: Path, run: Run
) -> None:
    code, out, _ = run(*command(server, "--token", "-"), stdin=token.read_bytes())
    assert code == 0
    assert "with this entry the token is accepted" in out


def test_a_token_that_no_setting_mends_has_exit_1(
    server: PublisherServer, issuer: ShapedIssuer, run: Run
) -> None:
    refresh = issuer.token(wall_seconds(), typ="Refresh").encode()
    code, out, _ = run(*command(server, "--token", "-"), stdin=refresh)
    assert code == 1
    assert "refresh_token_presented" in out


def test_the_json(server: PublisherServer, token: Path, run: Run) -> None:
    code, out, _ = run(*command(server, "--token", token, "--json"))
    document = json.loads(out)
    assert code == 0
    assert document["accepted"] is True
    assert document["jwks_uri"] == server.origin + KEYS
    assert document["entry"].startswith("- issuer: ")
    assert {each["reason"] for each in document["refused"]} >= {"no_key", "claim_missing"}
    assert "claims.tenant" in document["choose"]


@pytest.mark.usefixtures("issuer")
def test_without_a_token_what_is_published_is_shown(server: PublisherServer, run: Run) -> None:
    code, out, _ = run(*command(server))
    assert code == 0
    assert f"# keys: {server.origin}{KEYS}" in out
    assert "#   key-1: RSA RS256 sig" in out
    assert "  algorithms: [RS256]" in out


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("http://idp.example", "ISSUER must be https"),
        ("idp.example", "ISSUER must be http:// or https://"),
        ("https://idp.example/?a=b", "ISSUER must have no query"),
    ],
)
def test_an_issuer_that_can_be_none(written: str, said: str, run: Run) -> None:
    code, out, err = run("idp", "inspect", written)
    assert (code, out) == (1, "")
    assert said in err


def test_what_is_wrong_with_the_metadata_is_said(
    server: PublisherServer, token: Path, run: Run
) -> None:
    server.pages[OPENID] = Page(b'{"issuer": "https://other.example"}')
    code, out, err = run(*command(server, "--token", token))
    assert (code, out) == (1, "")
    assert "its issuer is 'https://other.example'" in err


@pytest.mark.parametrize("source", ["file", "stdin"])
def test_what_is_too_long_for_a_token_is_not_read(
    server: PublisherServer, run: Run, tmp_path: Path, source: str
) -> None:
    text = b"a" * 70_000
    (tmp_path / "long").write_bytes(text)
    path = tmp_path / "long" if source == "file" else "-"
    code, _, err = run(*command(server, "--token", path), stdin=text)
    assert code == 1
    assert "65536 bytes" in err
