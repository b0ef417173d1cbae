"""A small server that speaks the protocol of acme-dns, in front of a real DNS server.

acme-dns itself is a Go program that no package has. This one keeps accounts in memory, checks
credentials as acme-dns does, keeps the newest two values of each account, and puts them into a
zone of BIND by dynamic updates, so that what the CA and the watch see is a real DNS server's.
"""

import json
import re
import secrets
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

import dns.query
import dns.tsig
import dns.update

from tests.support.dns_servers import KEY, ZONE, DnsServers

_TXT = re.compile(r"[A-Za-z0-9_-]{43}")


class AcmeDnsServer(ThreadingHTTPServer):
    """The server, with its accounts. ``status`` is answered in place of the truth, if set."""

    def __init__(self, dns_servers: DnsServers) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._dns = dns_servers
        self._values: dict[str, deque[str]] = {}
        self.accounts: dict[str, dict[str, str]] = {}
        self.status = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def register(self, subdomain: str = "") -> dict[str, str]:
        """Make an account, as POST /register does; there the subdomain is always random."""
        subdomain = subdomain or secrets.token_hex(8)
        account = {
            "username": secrets.token_hex(8), "password": secrets.token_urlsafe(30),
            "subdomain": subdomain, "fulldomain": f"{subdomain}.{ZONE}",
        }  # fmt: skip
        self.accounts[account["username"]] = account
        self._values[subdomain] = deque()
        return account

    def update(self, user: str, key: str, body: Any) -> int:
        account = self.accounts.get(user)
        if account is None or not secrets.compare_digest(account["password"], key):
            return 401
        if body.get("subdomain") != account["subdomain"]:
            return 401
        if not _TXT.fullmatch(str(body.get("txt"))):
            return 400
        self._put(account["subdomain"], body["txt"])
        return 200

    def _put(self, subdomain: str, value: str) -> None:
        values = self._values[subdomain]
        key = dns.tsig.Key(KEY["name"], KEY["secret"], KEY["algorithm"])
        update = dns.update.UpdateMessage(f"{ZONE}.", keyring=key)
        if len(values) == 2:
            update.delete(subdomain, "TXT", values.popleft())
        values.append(value)
        update.add(subdomain, 1, "TXT", value)
        host, port = self._dns.primary_address.split(":")
        assert dns.query.tcp(update, host, timeout=5, port=int(port)).rcode() == 0


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...

    def do_POST(self) -> None:
        server = cast("AcmeDnsServer", self.server)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        user, key = self.headers["x-api-user"], self.headers["x-api-key"]
        status = server.status or server.update(user, key, body)
        answer = json.dumps({"txt": body.get("txt")} if status == 200 else {"error": "no"}).encode()
        self.send_response(status if self.path == "/update" else 404)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


@contextmanager
def running_acme_dns(dns_servers: DnsServers) -> Iterator[AcmeDnsServer]:
    """Serve until the block ends."""
    with AcmeDnsServer(dns_servers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)
