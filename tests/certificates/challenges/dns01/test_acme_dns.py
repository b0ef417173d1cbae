"""Values that acme-dns writes: accounts from Vault, two values a name, refusals."""

from collections.abc import Iterator
from typing import Any

import dns.name
import pytest

from sidecar.certificates.challenges.dns01.acme_dns import AcmeDnsWriter, read_account
from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import TxtRecord, challenge_name
from sidecar.config.dns01 import AcmeDnsUpdate
from sidecar.config.vault import VaultFolder
from tests.support.acme_dns_server import AcmeDnsServer, running_acme_dns
from tests.support.dns_servers import ZONE, DnsServers
from tests.support.fleet_kv import MemoryKv

HOST = "a.customer.test"
ACCOUNTS = VaultFolder(prefix="septem/acme-dns")


@pytest.fixture(scope="module")
def server(dns_servers: DnsServers) -> Iterator[AcmeDnsServer]:
    with running_acme_dns(dns_servers) as running:
        yield running


@pytest.fixture(autouse=True)
def truthful(server: AcmeDnsServer) -> None:
    server.status = 0


def writer(server: AcmeDnsServer, kv: MemoryKv) -> AcmeDnsWriter:
    return AcmeDnsWriter(AcmeDnsUpdate(url=server.url, accounts=ACCOUNTS), kv)


def record(account: dict[str, str], value: str = "v" * 43) -> TxtRecord:
    where = dns.name.from_text(account["fulldomain"])
    return TxtRecord(
        HOST, challenge_name(HOST), where, dns.name.from_text(ZONE), value.encode("ascii")
    )


@pytest.mark.real
async def test_two_values_at_one_name(
    dns_servers: DnsServers, server: AcmeDnsServer, kv: MemoryKv
) -> None:
    """A domain and its wildcard; a third at once would push one of them out."""
    account = server.register()
    kv.put(f"septem/acme-dns/{HOST}", account)
    given = writer(server, kv)
    await given.begin()
    records = [record(account, letter * 43) for letter in "abc"]
    await given.check(records[0])
    await given.add(records[0])
    await given.add(records[1])
    assert dns_servers.values(account["fulldomain"]) == {"a" * 43, "b" * 43}
    with pytest.raises(Dns01Fault, match="has 2 values in flight") as raised:
        await given.add(records[2])
    assert raised.value.reason == "account"
    for each in records:
        await given.remove(each)
    await given.add(records[2])
    assert dns_servers.values(account["fulldomain"]) == {"b" * 43, "c" * 43}


WRONG: list[tuple[str, dict[str, str], str, str]] = [
    ("another password", {"password": "wrong"}, "refused", "refuses the account"),
    ("a stranger", {"username": "nobody"}, "refused", "allowfrom"),
    ("another's name", {"subdomain": "x"}, "refused", "septem/acme-dns/a.customer.test"),
    ("no password", {"password": ""}, "account", "needs the fields username, password"),
    ("a line end", {"username": "a\r\nx-evil: 1"}, "account", "needs the fields"),
    ("a CNAME to another account", {"fulldomain": f"other.{ZONE}"}, "account",
     f"writes other.{ZONE}: let a CNAME at _acme-challenge.a.customer.test lead there"),
]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize(
    ("change", "reason", "said"), [w[1:] for w in WRONG], ids=[w[0] for w in WRONG]
)
async def test_an_account_that_does_not_fit(
    server: AcmeDnsServer, kv: MemoryKv, change: dict[str, str], reason: str, said: str
) -> None:
    account = server.register()
    kv.put(f"septem/acme-dns/{HOST}", {**account, **change})
    with pytest.raises(Dns01Fault) as raised:
        await writer(server, kv).add(record(account))
    assert (raised.value.reason, said in str(raised.value)) == (reason, True), raised.value
    assert account["password"] not in str(raised.value)


ANSWERS = [(400, "server", "bad subdomain or value"), (500, "server", "read its log"),
           (403, "refused", "refuses"), (302, "server", "answers 302")]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize(("status", "reason", "said"), ANSWERS)
async def test_what_the_server_answers(
    server: AcmeDnsServer, kv: MemoryKv, status: int, reason: str, said: str
) -> None:
    account = server.register()
    kv.put(f"septem/acme-dns/{HOST}", account)
    server.status = status
    with pytest.raises(Dns01Fault) as raised:
        await writer(server, kv).add(record(account))
    assert (raised.value.reason, said in str(raised.value)) == (reason, True), raised.value


async def test_nobody_is_there(kv: MemoryKv) -> None:
    account = {"username": "u", "password": "p", "subdomain": "s", "fulldomain": f"s.{ZONE}"}
    kv.put(f"septem/acme-dns/{HOST}", account)
    given = AcmeDnsWriter(AcmeDnsUpdate(url="http://127.0.0.1:1", accounts=ACCOUNTS), kv)
    with pytest.raises(Dns01Fault, match="can't be asked") as raised:
        await given.add(record(account))
    assert raised.value.reason == "unreachable"
    given.close()
    with pytest.raises(Dns01Fault, match="does not answer in time"):
        await given.add(record(account))


async def test_a_domain_without_an_account(kv: MemoryKv) -> None:
    given = AcmeDnsWriter(AcmeDnsUpdate(url="http://127.0.0.1:1", accounts=ACCOUNTS), kv)
    with pytest.raises(Dns01Fault, match="write its answer to secret/septem/acme-dns/a"):
        await given.add(record({"fulldomain": f"s.{ZONE}"}))


ENTRIES: list[tuple[str, dict[str, Any]]] = [
    ("empty", {}),
    ("a number", {"username": 1, "password": "p", "subdomain": "s", "fulldomain": "f.test"}),
    ("no name", {"username": "u", "password": "p", "subdomain": "s", "fulldomain": "f..test"}),
    ("long", {"username": "u" * 257, "password": "p", "subdomain": "s", "fulldomain": "f.test"}),
]


@pytest.mark.parametrize("data", [e[1] for e in ENTRIES], ids=[e[0] for e in ENTRIES])
def test_an_entry_that_is_no_account(data: dict[str, Any]) -> None:
    with pytest.raises(Dns01Fault, match="Vault's entry secret/x"):
        read_account(data, "secret/x")


def test_an_account_shows_no_password() -> None:
    data = {"username": "u", "password": "hidden", "subdomain": "s", "fulldomain": "f.test"}
    assert "hidden" not in repr(read_account(data, "secret/x"))
