"""Which source each setting of an issuer names."""

import msgspec
import pytest

from sidecar.common.clock import monotonic_seconds
from sidecar.config import parse_config
from sidecar.config.model import Config
from sidecar.keys.factory import make_key_source, seconds_of_tokens, source_key
from sidecar.keys.jwks_https import JwksKeySource
from sidecar.keys.kv_source import KvKeySource
from sidecar.keys.oidc_source import OidcKeySource
from sidecar.keys.sources import TransitKeySource
from sidecar.vault.client import VaultClient
from tests.authz.conftest import CONFIG
from tests.support.minting import AUDIENCE, ISSUER


def config_of(keys: str) -> Config:
    text = CONFIG.replace(
        f"{{issuer: {ISSUER}, audiences: [{AUDIENCE}]}}",
        f"{{issuer: {ISSUER}, audiences: [{AUDIENCE}]{keys}}}",
    )
    return parse_config(text, "test")


SOURCES: list[tuple[str, str, type]] = [
    ("nothing said", "", KvKeySource),
    ("Vault KV", ", keys: {source: vault_kv, path: iam/other}", KvKeySource),
    ("transit", ", keys: {source: vault_transit, name: jwt}", TransitKeySource),
    ("discovery", ", keys: {source: oidc}", OidcKeySource),
    ("a JWK Set", ", keys: {source: jwks, url: 'https://idp.example/jwks'}", JwksKeySource),
]


@pytest.mark.parametrize(("keys", "kind"), [s[1:] for s in SOURCES], ids=[s[0] for s in SOURCES])
async def test_each_setting_has_its_source(keys: str, kind: type) -> None:
    config = config_of(keys)
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    (issuer,) = config.tokens.issuers
    source = make_key_source(config, issuer, vault)
    assert type(source) is kind
    assert source.issuer == ISSUER
    await vault.close()


OTHER = "https://other.example"


def test_a_replaced_key_is_needed_as_long_as_its_own_issuers_tokens_live() -> None:
    """And not as long as another issuer's."""
    config = config_of("")
    (ours,) = config.tokens.issuers
    other = msgspec.structs.replace(ours, issuer=OTHER, max_lifetime_seconds=86_400.0)
    tokens = msgspec.structs.replace(config.tokens, issuers=(ours, other))
    both = msgspec.structs.replace(config, tokens=tokens)
    assert seconds_of_tokens(both) == {ISSUER: 930, OTHER: 86_430}
    assert source_key(both, ours) == source_key(config, ours)
    assert source_key(both, other) != source_key(both, ours)


def test_other_algorithms_are_another_source() -> None:
    """A key is bound to its algorithm when it is read, so it must be read again."""
    config = config_of("")
    (ours,) = config.tokens.issuers
    changed = msgspec.structs.replace(ours, algorithms=("RS256",))
    assert source_key(config, ours) != source_key(config, changed)
