"""The whole sidecar with public CAs: ordered once, kept in Vault, found again after a restart."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from demo.openbao import SIDECAR_POLICY
from demo.process import fetch_text
from demo.stack import Stack
from tests.support.dns_servers import KEY, ZONE, DnsServers, running_dns
from tests.support.pebble import Pebble, running_pebble
from tests.support.policies import FLEET_POLICY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
POLICY = SIDECAR_POLICY + FLEET_POLICY
NAME = "customer.example"


class AcmeStack(Stack):
    """The demo's stack, whose sidecar has a certificate from Pebble beside that of the edge."""

    pebble: Pebble
    dns: DnsServers

    def _sidecar_config(self) -> Mapping[str, Any]:
        config = dict(super()._sidecar_config())
        (self.folder / "vault-token").write_text(self.openbao.token_for(POLICY))
        running = running_pebble(self.folder / "pebble", self.ports.http)
        self.pebble = self._exits.enter_context(running)
        public = {
            "name": "public", "type": "acme", "directory": self.pebble.directory,
            "ca_file": self.pebble.ca_file, "agree_to_terms": True,
            "account": {"path": "septem/acme/public"}, "edge_seconds": 5,
        }  # fmt: skip
        customer = {
            "name": NAME, "issuer": "public", "common_name": NAME,
            "probe": {"address": f"127.0.0.1:{self.ports.https}", "within_seconds": 1},
        }  # fmt: skip
        issuer, wildcard = self._over_dns()
        config["issuers"] = [*config["issuers"], public, issuer]
        config["certificates"] = [*config["certificates"], customer, wildcard]
        config["certificate_store"] = {}
        # Two processes answer Checks, and neither has ever heard of an order.
        config["listen"]["authz"]["workers"] = 2
        return config

    def _over_dns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Start DNS servers and a CA that asks them; return an issuer and a wildcard of it."""
        self.dns = self._exits.enter_context(running_dns(self.folder / "dns"))
        ca = self._exits.enter_context(
            running_pebble(self.folder / "pebble-dns", 1, resolver=self.dns.ca_resolver)
        )
        self.openbao.client.secrets.kv.v2.create_or_update_secret("septem/dns/tsig", KEY)
        issuer = {
            "name": "dns", "type": "acme", "directory": ca.directory, "ca_file": ca.ca_file,
            "agree_to_terms": True, "account": {"path": "septem/acme/dns"},
            "challenge": "dns-01", "edge_seconds": 600,
            "dns": {
                "update": {
                    "type": "rfc2136", "server": self.dns.primary_address, "zones": [ZONE],
                    "tsig": {"path": "septem/dns/tsig"},
                },
                "resolvers": [self.dns.resolver], "nameserver_port": self.dns.port,
            },
        }  # fmt: skip
        name = {"name": "wildcard", "issuer": "dns", "common_name": f"*.{ZONE}"}
        return issuer, {**name, "alt_names": [ZONE]}

    def counted(self, family: str, **labels: str) -> float:
        wanted = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        text = fetch_text(self.admin_port, "/metrics")
        found = re.search(rf"^{re.escape(f'{family}{{{wanted}}}')} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_for(self, family: str, **labels: str) -> None:
        wait_until(lambda: self.counted(family, **labels), explain=self.sidecar.tail)


def test_ordered_once_and_found_again() -> None:
    with AcmeStack() as stack:
        # Before the edge has started: this CA does not connect to it.
        stack.wait_for("septem_acme_orders_total", issuer="dns", outcome="ok")
        assert stack.counted("septem_dns01_challenges_total", issuer="dns", outcome="ok") == 2
        assert stack.counted("septem_dns01_values_left_total", issuer="dns") == 0
        assert stack.dns.values(f"_acme-challenge.{ZONE}") == set()
        assert any(f"dns-01: the value for {ZONE} is in the zone" in x for x in stack.sidecar.lines)
        stack.wait_for("septem_acme_orders_total", issuer="public", outcome="ok")
        family = "septem_fleet_certificates_total"
        assert stack.counted(family, issuer="public", **{"from": "order"}) == 1
        assert stack.pebble.orders == 1
        # The listener serves another certificate under this name: it has no filter chain for it.
        stack.wait_for("septem_certificate_probes_total", outcome="mismatch")
        answered = [e for e in stack.audited() if e["reason"] == "challenge_answered"]
        assert {(e["host"], e["status"]) for e in answered} == {(NAME, 200)}
        secrets = ("PRIVATE KEY", KEY["secret"])
        assert not any(secret in line for secret in secrets for line in stack.sidecar.lines)
        stack.sidecar.stop()
        stack.start_sidecar()
        stack.wait_for("septem_fleet_certificates_total", issuer="public", **{"from": "store"})
        assert not stack.counted("septem_acme_orders_total", issuer="public", outcome="ok")
        assert stack.pebble.orders == 1, "a restart orders nothing"
        get = stack.client.get
        assert get("/.well-known/acme-challenge/made-up-token-000", tls=False).status == 403
        assert get("/.well-known/other", tls=False).status == 308, "all else is redirected"
