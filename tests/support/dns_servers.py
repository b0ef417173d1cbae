"""Real DNS servers on loopback, of which dns-01 is written: BIND 9 and Knot DNS.

    acme.platform.test   primary BIND (127.0.0.1), secondary Knot (127.0.0.12)
    knot.test            primary Knot (127.0.0.13)
    split.test           BIND and Knot, which never transfer it: Knot's serial stays old
    customer.test        Knot (127.0.0.13): CNAMEs that lead there, in circles, far, nowhere
    two resolvers        BINDs of their own (127.0.0.1), which forward to them: the sidecar's, and
                         the CA's, which must not have heard that a name does not exist yet

The authoritative ones share a port: the tests set it as ``nameserver_port``.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dns.exception
import dns.message
import dns.query
from dns.rdatatype import RdataType

from demo.process import ManagedProcess, find_program, free_ports

PRIMARY, SECONDARY, CUSTOMER = "127.0.0.1", "127.0.0.12", "127.0.0.13"
NOBODY = "127.0.0.99"
ZONE = "acme.platform.test"
KEY = {
    "name": "sidecar",
    "algorithm": "hmac-sha256",
    "secret": "c2VwdGVtLXNpZGVjYXItdHNpZy1zZWNyZXQtMzItYnl0ZXM=",
}
"""The key that may write TXT records, as it stands in Vault."""
NARROW_KEY = {
    "name": "narrow",
    "algorithm": "hmac-sha512",
    "secret": "b25seS1mb3ItYW5vdGhlci1uYW1lLTMyLWJ5dGVzLi4=",
}
"""The key that may write one name only."""
READY_SECONDS = 20.0
_LONG_CHAIN = 12
_HEAD = """$TTL 1
@ SOA ns1.{zone}. hostmaster.{zone}. 1 600 600 86400 1
"""


def _file(zone: str, *lines: str) -> str:
    return _HEAD.format(zone=zone) + "\n".join(lines) + "\n"


_FILES = {
    ZONE: _file(
        ZONE, "@ NS ns1", "@ NS ns2", f"ns1 A {PRIMARY}", f"ns2 A {SECONDARY}",
        'strangers TXT "not-ours"', f"child NS ns1.child\nns1.child A {NOBODY}",
    ),
    "split.test": _file(
        "split.test", "@ NS ns1", "@ NS ns2", f"ns1 A {PRIMARY}", f"ns2 A {CUSTOMER}"
    ),
    "lame.test": _file(
        "lame.test", "@ NS ns1", "@ NS ns2", f"ns1 A {PRIMARY}", f"ns2 A {CUSTOMER}"
    ),
    "half.test": _file(
        "half.test", "@ NS ns1", "@ NS ns2", f"ns1 A {PRIMARY}", f"ns2 A {NOBODY}"
    ),
    "knot.test": _file("knot.test", "@ NS ns1", f"ns1 A {CUSTOMER}"),
    "foreign.test": _file("foreign.test", "@ NS ns1", f"ns1 A {CUSTOMER}"),
    "customer.test": _file(
        "customer.test", "@ NS ns1", f"ns1 A {CUSTOMER}",
        f"_acme-challenge.shop CNAME shop.customer.test.{ZONE}.",
        f"_acme-challenge.hosted CNAME hosted-account.{ZONE}.",
        "_acme-challenge.far CNAME hop1", "hop1 CNAME hop2", f"hop2 CNAME far.{ZONE}.",
        "_acme-challenge.circle CNAME one", "one CNAME two", "two CNAME one",
        "_acme-challenge.self CNAME _acme-challenge.self",
        "_acme-challenge.foreign CNAME there.foreign.test.",
        f"_acme-challenge.dmarc CNAME _dmarc.{ZONE}.",
        f"_acme-challenge.narrow CNAME narrow.{ZONE}.",
        "_acme-challenge.long CNAME long0",
        *(f"long{n} CNAME long{n + 1}" for n in range(_LONG_CHAIN)),
    ),
}  # fmt: skip
_AT_BIND = ("split.test", "lame.test", "half.test")
_AT_KNOT = ("split.test", "knot.test", "foreign.test", "customer.test")
"""lame.test is not among them, though its NS records say so."""
_RESOLVED = {
    ZONE: PRIMARY, "split.test": PRIMARY, "lame.test": PRIMARY, "half.test": PRIMARY,
    "knot.test": CUSTOMER, "foreign.test": CUSTOMER, "customer.test": CUSTOMER,
    "broken.test": CUSTOMER, "silent.test": NOBODY,
}  # fmt: skip


@dataclass
class DnsServers:
    """The running servers. ``port`` is that of the authoritative ones."""

    port: int
    resolver: str
    ca_resolver: str
    primary: ManagedProcess
    secondary: ManagedProcess
    customer: ManagedProcess

    @property
    def primary_address(self) -> str:
        return f"{PRIMARY}:{self.port}"

    @property
    def knot_address(self) -> str:
        return f"{CUSTOMER}:{self.port}"

    def values(self, name: str, server: str = PRIMARY) -> set[str]:
        """Return the TXT values at a name, as one server has them."""
        query = dns.message.make_query(name, RdataType.TXT)
        answer = dns.query.tcp(query, server, timeout=5, port=self.port)
        return {
            b"".join(each.strings).decode()
            for rrset in answer.answer
            if rrset.rdtype == RdataType.TXT
            for each in rrset
        }


@contextmanager
def running_dns(folder: Path) -> Iterator[DnsServers]:
    """Start the servers; they end with the block."""
    port, resolver_port, ca_port = free_ports(3)
    named = find_program("named", "named (Debian's bind9; tools/get-dns)")
    knotd = find_program("knotd", "knotd (Debian's knot; tools/get-dns)")
    configurations = {
        "primary": _bind(folder / "primary", port, "recursion no;", _primary_zones(port)),
        "resolver": _bind(folder / "resolver", resolver_port, _RECURSIVE, _forwards(port)),
        "ca": _bind(folder / "ca", ca_port, _RECURSIVE, _forwards(port)),
        "secondary": _knot(folder / "secondary", SECONDARY, port, _SECONDARY_ZONE),
        "customer": _knot(folder / "customer", CUSTOMER, port, _CUSTOMER_ZONES),
    }
    for name, zones in {"primary": (ZONE, *_AT_BIND), "customer": _AT_KNOT}.items():
        for zone in zones:
            (folder / name / f"{zone}.zone").write_text(_FILES[zone])
    with ExitStack() as stack:
        running = {}
        for name, path in configurations.items():
            is_bind = path.name == "named.conf"
            command = [named, "-g", "-n", "1", "-c"] if is_bind else [knotd, "-c"]
            running[name] = stack.enter_context(ManagedProcess(name, [*command, str(path)]))
        asked = {
            "primary": (PRIMARY, port, ZONE), "secondary": (SECONDARY, port, ZONE),
            "customer": (CUSTOMER, port, "customer.test"),
            "resolver": (PRIMARY, resolver_port, "customer.test"),
            "ca": (PRIMARY, ca_port, "customer.test"),
        }  # fmt: skip
        for name, (address, its_port, zone) in asked.items():
            running[name].wait_until(
                lambda a=address, p=its_port, z=zone: _serves(a, p, z),  # type: ignore[misc]
                READY_SECONDS,
            )
        yield DnsServers(
            port, f"{PRIMARY}:{resolver_port}", f"{PRIMARY}:{ca_port}",
            running["primary"], running["secondary"], running["customer"],
        )  # fmt: skip


_RECURSIVE = """recursion yes; allow-query { any; }; allow-recursion { any; };
  max-ncache-ttl 0; max-cache-ttl 0; empty-zones-enable no; servfail-ttl 0;"""


def _bind(home: Path, port: int, options: str, zones: str) -> Path:
    """Write the configuration of a BIND on 127.0.0.1, the only address it listens on."""
    home.mkdir(parents=True)
    keys = "".join(
        f'key "{key["name"]}" {{ algorithm {key["algorithm"]}; secret "{key["secret"]}"; }};\n'
        for key in (KEY, NARROW_KEY)
    )
    path = home / "named.conf"
    path.write_text(
        f'options {{ directory "{home}"; pid-file none; session-keyfile none;\n'
        f"  listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n"
        f"  dnssec-validation no; notify no; {options} }};\n"
        f"controls {{ }};\n{keys}{zones}"
    )
    return path


def _primary_zones(port: int) -> str:
    own = "".join(
        f'zone "{zone}" {{ type primary; file "{zone}.zone"; '
        "update-policy { grant sidecar. zonesub TXT; }; };\n"
        for zone in _AT_BIND
    )
    return (
        own
        + f"""zone "{ZONE}" {{
  type primary; file "{ZONE}.zone"; allow-transfer {{ any; }};
  notify explicit; notify-delay 0; also-notify {{ {SECONDARY} port {port}; }};
  update-policy {{ grant sidecar. zonesub TXT; grant narrow. name narrow.{ZONE}. TXT; }};
}};
"""
    )


def _forwards(port: int) -> str:
    return "".join(
        f'zone "{zone}" {{ type forward; forward only; '
        f"forwarders {{ {address} port {port}; }}; }};\n"
        for zone, address in _RESOLVED.items()
    )


_SECONDARY_ZONE = f"""
remote:
  - id: primary
    address: "{PRIMARY}@{{port}}"
acl:
  - id: notified
    address: {PRIMARY}
    action: notify
zone:
  - domain: {ZONE}
    master: primary
    acl: notified
"""
_CUSTOMER_ZONES = """
acl:
  - id: sidecar-txt
    key: sidecar
    action: update
    update-type: TXT
zone:
""" + "".join(
    f"  - domain: {zone}\n" + ("    acl: sidecar-txt\n" if zone == "knot.test" else "")
    for zone in _AT_KNOT
)


def _knot(home: Path, address: str, port: int, zones: str) -> Path:
    (home / "db").mkdir(parents=True)
    path = home / "knot.conf"
    path.write_text(
        f"""server:
  rundir: "{home}"
  listen: "{address}@{port}"
  udp-workers: 1
  tcp-workers: 1
  background-workers: 1
log:
  - target: stderr
    any: info
database:
  storage: "{home}/db"
key:
  - id: {KEY["name"]}
    algorithm: {KEY["algorithm"]}
    secret: "{KEY["secret"]}"
template:
  - id: default
    storage: "{home}"
    file: "%s.zone"
"""
        + zones.replace("{port}", str(port))
    )
    return path


def _serves(address: str, port: int, zone: str) -> bool:
    query = dns.message.make_query(zone, RdataType.SOA)
    try:
        return bool(dns.query.tcp(query, address, timeout=5, port=port).answer)
    except (OSError, EOFError, dns.exception.DNSException):
        return False
