"""Fuzz targets: any bytes in, an answer out, and what must hold of every answer.

Run one with atheris: ``python tests/fuzz/targets.py token tests/fuzz/corpus/token``.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import atheris

with atheris.instrument_imports(include=["sidecar", "workload"]):
    from sidecar.authz.credential import TokenPlaces, find_token
    from sidecar.authz.decision import Snapshot
    from sidecar.authz.encoding.allowed import encode_allowed
    from sidecar.authz.encoding.denied import encode_denied
    from sidecar.authz.encoding.request import parse_request, view_of
    from sidecar.authz.evaluate import decide
    from sidecar.authz.snapshot import build_snapshot
    from sidecar.authz.warnings import warnings_of
    from sidecar.cli.config import notes_of
    from sidecar.common.canonical import canonical_host, canonical_path
    from sidecar.common.errors import ConfigFault, Denied
    from sidecar.config.load import parse_config, parse_located
    from sidecar.csp.reports.parse import (
        DIRECTIVES,
        NotReports,
        parse_body,
    )
    from sidecar.tokens.verifier import verify_token

from tests.authz.conftest import CONFIG
from tests.support.certificate_parsers import read_everything
from tests.support.ids import ONE_ID
from tests.support.minting import NOW, Issuer, policy

ISSUER = Issuer.generate()
SNAPSHOT: Snapshot = build_snapshot(parse_config(CONFIG, "fuzz"), ISSUER.ring)


def token(raw: bytes) -> None:
    """No bytes but a token of the issuer's verify, and no other exception leaves."""
    try:
        verify_token(raw, ISSUER.ring, policy(), NOW)
    except Denied:
        return
    raise AssertionError("bytes of a fuzzer verify")


def signed(raw: bytes) -> None:
    """Bytes as header and payload under a good signature: read strictly or refused."""
    header, _, payload = raw.partition(b"\0")
    try:
        claims = verify_token(ISSUER.mint_raw(header, payload), ISSUER.ring, policy(), NOW).claims
    except Denied:
        return
    assert claims.issuer == ISSUER.name
    assert claims.expires_at - claims.issued_at <= 900


def path(raw: bytes) -> None:
    """A canonical path is canonical, and nothing in it has a second reading."""
    try:
        canonical = canonical_path(raw)
    except Denied:
        return
    assert canonical_path(canonical.encode()) == canonical
    decoded = unquote(canonical, errors="strict")
    assert decoded.count("/") == canonical.count("/")
    assert not {".", ".."} & set(decoded.split("/"))


def check(raw: bytes) -> None:
    """Any bytes as a CheckRequest: one answer, never an allow on a protected route."""
    try:
        view = view_of(parse_request(raw))
    except Denied:
        return
    decision = decide(view, SNAPSHOT, NOW)
    if decision.allowed:
        assert decision.route in {"public", "either"}
        encode_allowed(decision, SNAPSHOT, {}, lambda: b"n" * 24, ONE_ID)
    else:
        encode_denied(decision, SNAPSHOT, ONE_ID, view.request_id, {})


def reports(raw: bytes) -> None:
    """Any body: read or refused, and nothing of a URL but its origin stays."""
    try:
        parsed = parse_body(raw)
    except NotReports:
        return
    for each in parsed.violations:
        assert each.directive in DIRECTIVES or each.directive == "other"
        for kept in (each.blocked, each.document, each.source):
            assert len(kept) < 300
            assert not set(kept.partition("://")[2]) & set("/?#@ <>\"'")


def credential(raw: bytes) -> None:
    """Header values of any bytes: one token, none, or a refusal."""
    names = ("authorization", "cookie", "sec-websocket-protocol", "query")
    headers = dict(zip(names, raw.split(b"\0", 3), strict=False))
    query = headers.pop("query", b"")
    try:
        found = find_token(headers, query, PLACES, 8192)
    except Denied:
        return
    assert found.token is None or len(found.token) <= 8192
    if found.cookie is not None:
        again = find_token({"cookie": found.cookie}, b"", PLACES, 8192)
        assert again.cookie is None, "all was taken out at once"


PLACES = TokenPlaces(("header", "cookie:session", "websocket"), ("other",))


def host(raw: bytes) -> None:
    """A canonical host is canonical."""
    try:
        canonical = canonical_host(raw)
    except Denied:
        return
    assert canonical_host(canonical.encode()) == canonical
    assert canonical == canonical.lower()


def certificate(raw: bytes) -> None:
    """Any DER as a certificate, and as a CRL: no exception but a fault leaves a parser."""
    read_everything(raw)


def config(raw: bytes) -> None:
    """The example with bytes in one place: read, or refused with its problems; never another way.

    The first two bytes say where, the third how much of the example falls away there.
    """
    at, cut = int.from_bytes(raw[:2], "big") % len(EXAMPLE), raw[2] if len(raw) > 2 else 0
    text = (EXAMPLE[:at] + raw[3:] + EXAMPLE[at + cut :]).decode("utf-8", "replace")
    try:
        loaded = parse_located(text, "fuzz")
    except ConfigFault:
        return
    warnings_of(loaded)
    notes_of(loaded)


EXAMPLE = (Path(__file__).parents[2] / "config.example.yaml").read_bytes()

TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (token, signed, path, check, credential, host, reports, certificate, config)
}

if __name__ == "__main__":
    name = sys.argv.pop(1)
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()
