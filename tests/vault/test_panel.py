"""What the operator reads of Vault: whether it answers, the login, and both clocks."""

import logging
from dataclasses import dataclass, field

from sidecar.common.polling import PollStatus
from sidecar.config import model
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import Ask, At, Mark, Panel
from sidecar.vault.auth import TokenLease
from sidecar.vault.contact import VaultContact
from sidecar.vault.errors import VaultForbidden, VaultSealed
from sidecar.vault.panel import VaultView, vault_panel

SETTINGS = model.Vault(address="https://vault:8200", auth=model.TokenFileAuth(path="/t"))
LEASE = TokenLease("hvs.secret", 40.0, 60.0, renewable=True)


@dataclass
class World:
    now: float = 1000.0
    lease: TokenLease | None = LEASE
    login: PollStatus = field(
        default_factory=lambda: PollStatus(
            "vault_login", "the login to Vault", logging.getLogger("test"), now=lambda: 990.0
        )
    )

    def __post_init__(self) -> None:
        self.contact = VaultContact(lambda: self.now)

    def panel(self) -> Panel:
        view = VaultView(SETTINGS, self.contact, self.lease, self.login, 10.0)
        return vault_panel(view, Ask(self.now))


def test_it_answers() -> None:
    world = World()
    world.contact.succeeded()
    panel = world.panel()
    assert (panel.summary, panel.findings) == ("https://vault:8200 answers.", ())
    facts = dict(panel.facts)
    assert facts["login"] == "token_file: logged in"
    assert facts["our token ends"] == At(1050.0)
    assert facts["last error"] == "none since the start"
    assert "secret" not in str(panel)


def test_before_the_first_call_it_has_answered_nothing() -> None:
    panel = World(lease=None).panel()
    assert "no call yet" in panel.summary
    assert dict(panel.facts)["login"] == "token_file: not logged in"


def test_an_outage_is_said_in_its_own_words_with_what_to_do() -> None:
    world = World()
    world.contact.succeeded()
    world.now = 2000.0
    fault = VaultSealed("Vault at https://vault:8200, secret/data/x: Vault is sealed")
    fault.words = "Vault is sealed"
    world.contact.refused("kv_read", fault)
    panel = world.panel()
    (finding,) = panel.findings
    assert (finding.part, finding.since) == ("vault", 2000.0)
    assert "Vault is sealed" in finding.wrong
    assert "vault operator unseal" in finding.do
    facts = dict(panel.facts)
    assert facts["state"] == Mark("does not answer", Severity.WARNING)
    assert facts["in its own words"] == "Vault is sealed"


def test_a_login_that_fails_is_a_finding_of_its_own() -> None:
    world = World()
    world.contact.succeeded()
    world.login.failed(VaultForbidden("Vault refuses our login at auth/approle"))
    panel = world.panel()
    (finding,) = panel.findings
    assert (finding.part, finding.since) == ("vault_login", 990.0)
    assert dict(panel.facts)["login"] == "token_file: the token lives and can't be renewed"


def test_clocks_that_differ() -> None:
    world = World()
    for ahead, words in ((40.0, "40 s behind"), (-40.0, "40 s ahead of")):
        world.contact.saw_date(world.now + ahead)
        (finding,) = world.panel().findings
        assert (finding.part, finding.since) == ("clock", 1000.0)
        assert f"This machine's clock is {words} that of Vault" in finding.wrong
        assert "date -u" in finding.do
