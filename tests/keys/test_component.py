"""What the component joins: sources by their settings, alerts of each change, both pollers."""

from pathlib import Path

import pytest

from sidecar.common.clock import monotonic_seconds
from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.keys.component import KEYS, REVOCATIONS, _say_state, make_key_source, start
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.kv_source import KvKeySource
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.sources import TransitKeySource
from sidecar.observability.alerts import Alerts
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.authz.conftest import CONFIG
from tests.support.minting import AUDIENCE, ISSUER

INIT, ACTIVE, OUTAGE, DEGRADED = KeyState
CHANGES: dict[tuple[KeyState, KeyState], tuple[str, str]] = {
    (INIT, OUTAGE): ("warning", "can't be refreshed: why"),
    (ACTIVE, OUTAGE): ("warning", "can't be refreshed: why"),
    (INIT, DEGRADED): ("critical", "no refresh for"),
    (ACTIVE, DEGRADED): ("critical", "no refresh for"),
    (OUTAGE, DEGRADED): ("critical", "no refresh for"),
    (OUTAGE, ACTIVE): ("info", "are refreshed again"),
    (DEGRADED, ACTIVE): ("info", "are refreshed again"),
}
"""Every change that somebody is told of. From degraded to an outage it is not over yet."""


@pytest.mark.parametrize("before", KeyState)
@pytest.mark.parametrize("after", KeyState)
def test_every_change_of_state(before: KeyState, after: KeyState) -> None:
    if before is after:
        return
    for words, setting in ((KEYS, "keys.max_age"), (REVOCATIONS, "keys.revocations.max_age")):
        alerts = Alerts(lambda: 0.0, with_webhook=True)
        _say_state(alerts, words, before, after, "why")
        said = [(e["data"]["severity"], e["data"]["message"]) for e in alerts.queue]
        wanted = CHANGES.get((before, after))
        assert len(said) == (wanted is not None)
        if wanted is not None:
            ((severity, message),) = said
            assert severity == wanted[0]
            assert wanted[1] in message
            assert (setting in message) is (after is DEGRADED)


def context_of(token_file: Path, more: str = "", keys: str = "") -> AppContext:
    text = CONFIG.replace("/run/vault/token", str(token_file)).replace(
        f"{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}",
        f"{{issuer: {ISSUER}, audiences: [{AUDIENCE}]{keys}}}",
    )
    return AppContext(parse_config(text + more, "test"))


SOURCES: list[tuple[str, str, type]] = [
    ("nothing said", "", KvKeySource),
    ("Vault KV", ", keys: {source: vault_kv, path: iam/other}", KvKeySource),
    ("transit", ", keys: {source: vault_transit, name: jwt}", TransitKeySource),
    ("a JWK Set", ", keys: {source: jwks, url: 'https://idp.example/jwks'}", JwksKeySource),
]


@pytest.mark.parametrize(("keys", "kind"), [s[1:] for s in SOURCES], ids=[s[0] for s in SOURCES])
async def test_each_setting_has_its_source(tmp_path: Path, keys: str, kind: type) -> None:
    context = context_of(tmp_path / "token", keys=keys)
    vault = VaultClient(context.config.vault, clock=monotonic_seconds)
    (issuer,) = context.config.tokens.issuers
    source = make_key_source(context.config, issuer, vault)
    assert type(source) is kind
    assert source.issuer == ISSUER
    await context.stack.aclose()


ROWS = [
    ("keys alone", "", ["keys/" + ISSUER]),
    ("keys and revocations", "keys: {revocations: {}}", ["keys/" + ISSUER, "revocations"]),
]


@pytest.mark.parametrize(("more", "parts"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
async def test_a_start_that_reads_nothing_is_refused_with_its_status_shown(
    tmp_path: Path, more: str, parts: list[str]
) -> None:
    context = context_of(tmp_path / "none", more)
    published: list[object] = []
    with pytest.raises(VaultForbidden):
        await start(
            context,
            VaultClient(context.config.vault, clock=monotonic_seconds),
            Alerts(lambda: 0.0, with_webhook=False),
            publish=published.append,
            publish_revocations=lambda *given: published.append(given),
        )
    assert [status.part for status in context.polls] == parts
    assert "cannot be read" in context.polls[-1].problem, "revocations are read first"
    assert published == [], "no Check is answered by what is not known"
    shown = context.metrics.render().decode()
    assert 'septem_key_state{state="init"} 1.0' in shown
    assert ("septem_revocation_state" in shown) is (len(parts) > 1)
    await context.stack.aclose()
