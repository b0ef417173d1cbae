"""The whole sidecar with a public CA: ordered once, kept in Vault, found again after a restart."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from demo.openbao import SIDECAR_POLICY
from demo.process import fetch_text
from demo.stack import Stack
from tests.support.pebble import Pebble, running_pebble
from tests.support.policies import FLEET_POLICY
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
POLICY = SIDECAR_POLICY + FLEET_POLICY
NAME = "customer.example"


class AcmeStack(Stack):
    """The demo's stack, whose sidecar has a certificate from Pebble beside that of the edge."""

    pebble: Pebble

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
        config["issuers"] = [*config["issuers"], public]
        config["certificates"] = [*config["certificates"], customer]
        config["certificate_store"] = {}
        # Two processes answer Checks, and neither has ever heard of an order.
        config["listen"]["authz"]["workers"] = 2
        return config

    def counted(self, family: str, **labels: str) -> float:
        wanted = ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
        text = fetch_text(self.admin_port, "/metrics")
        found = re.search(rf"^{re.escape(f'{family}{{{wanted}}}')} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_for(self, family: str, **labels: str) -> None:
        wait_until(lambda: self.counted(family, **labels), explain=self.sidecar.tail)


def test_ordered_once_and_found_again() -> None:
    with AcmeStack() as stack:
        stack.wait_for("septem_acme_orders_total", issuer="public", outcome="ok")
        family = "septem_fleet_certificates_total"
        assert stack.counted(family, issuer="public", **{"from": "order"}) == 1
        assert stack.pebble.orders == 1
        # The listener serves another certificate under this name: it has no filter chain for it.
        stack.wait_for("septem_certificate_probes_total", outcome="mismatch")
        answered = [e for e in stack.audited() if e["reason"] == "challenge_answered"]
        assert {(e["host"], e["status"]) for e in answered} == {(NAME, 200)}
        assert not any("PRIVATE KEY" in line for line in stack.sidecar.lines)
        stack.sidecar.stop()
        stack.start_sidecar()
        stack.wait_for("septem_fleet_certificates_total", issuer="public", **{"from": "store"})
        assert not stack.counted("septem_acme_orders_total", issuer="public", outcome="ok")
        assert stack.pebble.orders == 1, "a restart orders nothing"
        get = stack.client.get
        assert get("/.well-known/acme-challenge/made-up-token-000", tls=False).status == 403
        assert get("/.well-known/other", tls=False).status == 308, "all else is redirected"
