"""Which secrets the configuration makes, how each is encoded, and which changes are alerts."""

from typing import Any

import pytest
from envoy_data_plane.envoy.extensions.transport_sockets.tls.v3 import Secret

from sidecar.common.clock import wall_seconds
from sidecar.config import parse_config
from sidecar.config.secrets import GenericSecret, SessionTicketKeys, TrustBundle
from sidecar.observability.alerts import Alerts
from sidecar.sds.secrets.component import (
    PolledSecrets,
    alert_state,
    config_digest,
    encode,
    encode_bundle,
)
from sidecar.sds.secrets.generic import GenericSource
from sidecar.sds.secrets.poller import SourceStatus, StatusChange
from sidecar.sds.secrets.session_ticket_source import TicketSource
from sidecar.sds.secrets.source import VersionedValue
from sidecar.sds.secrets.trust_bundle_source import BundleSource, VaultAnchors
from sidecar.sds.subscription import Resource
from tests.config.test_certificates import PKI, text
from tests.support.authorities import Ca, pem
from tests.support.fleet_kv import MemoryKv
from workload.x509.anchors import TrustAnchors
from workload.x509.identities import id_regex

ANCHORS = TrustAnchors(roots_pem=b"roots", crl_pem=b"crl", only_leaf_crl=True)
BUNDLE = TrustBundle(
    name="mesh", peers=("spiffe://d/ns/a", "spiffe://d/ns/b/*", "peer.example"),
    spki_pins=("A" * 43 + "=",),
)  # fmt: skip
FRESH, STALE, ENDED = SourceStatus.FRESH, SourceStatus.STALE, SourceStatus.ENDED


def test_the_peers_of_a_bundle_are_matched_as_they_are_written() -> None:
    context = Secret.parse(encode_bundle(BUNDLE, ANCHORS).body).validation_context
    assert context is not None
    matched = [
        (
            each.san_type.name,
            each.matcher.safe_regex.regex if each.matcher.safe_regex else each.matcher.exact,
        )
        for each in context.match_typed_subject_alt_names
        if each.matcher is not None
    ]
    assert matched == [
        ("URI", "spiffe://d/ns/a"), ("URI", id_regex("spiffe://d/ns/b/*")), ("DNS", "peer.example"),
    ]  # fmt: skip
    assert context.verify_certificate_spki == ["A" * 43 + "="]
    assert context.only_verify_leaf_cert_crl


CHANGES: list[tuple[str, TrustBundle, TrustAnchors, bool]] = [
    ("nothing", BUNDLE, ANCHORS, True),
    ("when it is polled", TrustBundle(
        name="mesh", peers=BUNDLE.peers, spki_pins=BUNDLE.spki_pins, poll_seconds=7.0
    ), ANCHORS, True),
    ("a peer", TrustBundle(name="mesh", peers=BUNDLE.peers[:2], spki_pins=BUNDLE.spki_pins),
     ANCHORS, False),
    ("a pin", TrustBundle(name="mesh", peers=BUNDLE.peers), ANCHORS, False),
    ("a root", BUNDLE, TrustAnchors(b"other roots", b"crl", only_leaf_crl=True), False),
    ("a CRL", BUNDLE, TrustAnchors(b"roots", None, only_leaf_crl=True), False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "anchors", "same"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_a_version_changes_with_what_is_served(
    settings: TrustBundle, anchors: TrustAnchors, same: bool
) -> None:
    before = encode_bundle(BUNDLE, ANCHORS).version
    assert (encode_bundle(settings, anchors).version == before) is same
    assert before.endswith(config_digest(BUNDLE))


def test_each_source_has_its_kind_of_secret() -> None:
    kv: Any = MemoryKv()
    tickets = TicketSource(SessionTicketKeys(name="t", path="x"), kv, wall_seconds)
    generic = GenericSource(GenericSecret(name="g", path="x"), kv)
    bundle = BundleSource(BUNDLE, VaultAnchors(kv), wall_seconds)
    sent = [
        encode(bundle, VersionedValue(ANCHORS, "1", 1.0)),
        encode(tickets, VersionedValue((b"k" * 80,), "2", 1.0)),
        encode(generic, VersionedValue(b"value", "3", 1.0)),
    ]
    context, keys, secret = (Secret.parse(each.body) for each in sent)
    assert [each.name for each in sent] == ["mesh", "t", "g"]
    assert [each.version for each in sent][1:] == ["2", "3"]
    assert context.validation_context is not None
    assert keys.session_ticket_keys is not None
    assert secret.generic_secret is not None
    assert secret.generic_secret.secret is not None
    assert secret.generic_secret.secret.inline_bytes == b"value"


async def test_all_that_is_configured_is_polled_and_published() -> None:
    config = parse_config(
        text(
            PKI,
            more="trust_bundles: [{name: mesh, roots: {source: vault_kv, path: roots}}]\n"
            "session_ticket_keys: [{name: t, path: tickets}]\n"
            "generic_secrets: [{name: g, path: oauth}]\n",
        ),
        "test.yaml",
    )
    kv: Any = MemoryKv()
    kv.put("roots", {"value": pem(Ca("a root").certificate)})
    kv.put("oauth", {"value": "s3cret"})
    published: list[Resource] = []
    alerts = Alerts(wall_seconds, with_webhook=True)
    secrets = PolledSecrets(config, kv, published.append, alerts)
    await secrets.poller.load()
    assert sorted(each.name for each in published) == ["g", "mesh", "t"]
    assert list(alerts.queue) == []


STATES: list[tuple[SourceStatus, SourceStatus, tuple[str, str] | None]] = [
    (FRESH, STALE, ("warning", "trust bundle 'a' can't be refreshed: why")),
    (FRESH, ENDED, ("critical", "trust bundle 'a' has ended: peers are denied: why")),
    (STALE, ENDED, ("critical", "trust bundle 'a' has ended: peers are denied: why")),
    (STALE, FRESH, ("info", "trust bundle 'a' is refreshed again: why")),
    (ENDED, FRESH, ("info", "trust bundle 'a' is refreshed again: why")),
    (FRESH, FRESH, None),
]


@pytest.mark.parametrize(("before", "after", "said"), STATES)
def test_which_change_is_an_alert(
    before: SourceStatus, after: SourceStatus, said: tuple[str, str] | None
) -> None:
    alerts = Alerts(wall_seconds, with_webhook=True)
    alert_state(alerts, StatusChange("trust_bundle", "a", before, after, "why"))
    found = [(each["data"]["severity"], each["data"]["message"]) for each in alerts.queue]
    assert found == ([] if said is None else [said])
