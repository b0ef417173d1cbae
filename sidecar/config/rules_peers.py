"""The rules of peers by name: what looks like an IP address must be one."""

import ipaddress
from collections.abc import Iterator

from sidecar.config.listen import FilesTls
from sidecar.config.model import Config
from sidecar.config.problem import Path, Problem

_SPIFFE = "spiffe://"


def check_peers(config: Config) -> Iterator[Problem]:
    """Yield peers and clients that would admit nobody."""
    listed: list[tuple[Path, tuple[str, ...]]] = [
        *(
            (("trust_bundles", at, "peers"), each.peers)
            for at, each in enumerate(config.trust_bundles)
        ),
        *((("routes", at, "clients"), each.clients) for at, each in enumerate(config.routes)),
    ]
    if config.listen.metrics is not None and isinstance(config.listen.metrics.tls, FilesTls):
        listed.append((("listen", "metrics", "tls", "clients"), config.listen.metrics.tls.clients))
    for where, names in listed:
        for index, name in enumerate(names):
            if wrong := _wrong(name):
                yield Problem((*where, index), wrong)


def _wrong(name: str) -> str:
    if name.startswith(_SPIFFE):
        return ""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        last = name.rstrip(".").rpartition(".")[2]
        looks_like_one = ":" in name or last.isdigit()
        return f"{name} is neither an IP address nor a DNS name" if looks_like_one else ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return f"{name} is an IPv4 address in IPv6's form: write {address.ipv4_mapped}"
    return ""
