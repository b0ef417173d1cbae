"""Whether an address is on this machine or across a network."""

import ipaddress

LAST_PORT = 65_535


def is_loopback(address: str) -> bool:
    """Tell whether ``host:port`` or ``unix:/path`` can be reached from this machine only."""
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_address(host: str) -> bool:
    """Tell whether a host, without brackets, is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_every_host(host: str) -> bool:
    """Tell whether a host, without brackets, stands for every address of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def plain_host(host: str) -> str:
    """Return a host as it is compared: without brackets, and ``localhost`` as its address."""
    return "127.0.0.1" if host == "localhost" else host.strip("[]")


def share_a_port(one: str, other: str) -> bool:
    """Tell whether two TCP addresses can't be listened on at once."""
    if one.startswith("unix:") or other.startswith("unix:"):
        return False
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    hosts = {plain_host(host), plain_host(other_host)}
    return int(port) == int(other_port) and (len(hosts) == 1 or any(map(is_every_host, hosts)))


def reachable(address: str) -> str:
    """Return where a listener can be reached from this machine, also one on every address."""
    host, _, port = address.rpartition(":")
    if address.startswith("unix:") or not (host == "localhost" or is_every_host(host.strip("[]"))):
        return address
    return f"[::1]:{port}" if ":" in host else f"127.0.0.1:{port}"


def in_the_clear(url: str) -> bool:
    """Tell whether a URL is plain HTTP to another machine."""
    if not url.startswith("http://"):
        return False
    authority = url.removeprefix("http://").partition("/")[0]
    return not is_loopback(authority if ":" in authority else f"{authority}:80")


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of ``host:port`` or ``[IPv6]:port``, without the brackets."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
