"""Writes TXT values with acme-dns (github.com/acme-dns/acme-dns): one account a domain.

acme-dns serves a zone with one name per account. A customer's ``_acme-challenge`` is a CNAME to
the account's name, once and for all. It keeps the newest two values of a name and can remove
none, so a certificate for a domain and its wildcard is possible, and nothing is left to remove.
"""

import json
import re
from collections import Counter
from typing import Any, NamedTuple

import dns.exception
import dns.name
import requests
from dns.name import Name

from sidecar.certificates.challenges.dns01.faults import Dns01Fault
from sidecar.certificates.challenges.dns01.names import TxtRecord, show
from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.http_client import WHOLE_SHARE, failure, make_session
from sidecar.config.dns01 import AcmeDnsUpdate
from sidecar.vault.errors import VaultNotFound
from sidecar.vault.ports import KvReader

MAX_ANSWER_BYTES = 65_536
MAX_VALUES = 2
"""The values that acme-dns keeps at one name."""
CALL_SECONDS = 4.0
_THREADS = 4
_FIELDS = ("username", "password", "subdomain", "fulldomain")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]{1,256}")
_OK, _BAD_REQUEST = 200, 400
_REFUSED = frozenset({401, 403})


class AcmeDnsAccount(NamedTuple):
    """One account. ``where`` is its entry in Vault."""

    where: str
    username: str
    password: str
    subdomain: str
    fulldomain: Name

    def __repr__(self) -> str:
        """Show the entry and no credential."""
        return f"AcmeDnsAccount({self.where})"


class AcmeDnsWriter:
    """The updates at one server of acme-dns."""

    def __init__(self, settings: AcmeDnsUpdate, vault: KvReader) -> None:
        self._settings = settings
        self._vault = vault
        self._runner = BlockingRunner("acme-dns", _THREADS)
        self._session = make_session(
            ca_file=settings.ca_file, max_response_bytes=MAX_ANSWER_BYTES, connections=_THREADS
        )
        self._open: Counter[Name] = Counter()
        """The values of orders in flight, by name."""

    async def begin(self) -> None:
        """Do nothing: each domain has an account of its own, which is read when it is used."""

    async def check(self, record: TxtRecord) -> None:
        """Raise a ``Fault`` unless the account of the domain writes this name."""
        await self._read_account(record)

    async def add(self, record: TxtRecord) -> None:
        """Add one value. Raises ``VaultFault`` or ``Dns01Fault``."""
        self._open[record.name] += 1
        if self._open[record.name] > MAX_VALUES:
            raise Dns01Fault(
                "account",
                f"{show(record.name)} has {MAX_VALUES} values in flight, and acme-dns keeps no "
                "more: give each domain an account of its own",
            )
        await self._post(await self._read_account(record), record)

    async def remove(self, record: TxtRecord) -> None:
        """Count one value less; acme-dns itself drops it after two newer ones."""
        self._open[record.name] -= 1
        if self._open[record.name] <= 0:
            del self._open[record.name]

    def close(self) -> None:
        """Make no further calls."""
        self._runner.close()

    async def _read_account(self, record: TxtRecord) -> AcmeDnsAccount:
        folder = self._settings.accounts
        path = f"{folder.prefix}/{record.host}"
        where = f"{folder.mount}/{path}"
        try:
            entry = await self._vault.read_kv(folder.mount, path)
        except VaultNotFound:
            raise Dns01Fault(
                "account",
                f"Vault has no account of acme-dns for {record.host}: register one "
                f"(POST /register) and write its answer to {where}",
            ) from None
        account = read_account(entry.data, where)
        if account.fulldomain != record.name:
            raise Dns01Fault(
                "account",
                f"{show(record.start)} leads to {show(record.name)}, and the account of "
                f"{record.host} in Vault ({where}) writes {show(account.fulldomain)}: let a CNAME "
                f"at {show(record.start)} lead there",
            )
        return account

    async def _post(self, account: AcmeDnsAccount, record: TxtRecord) -> None:
        where = self._settings.url
        try:
            status = await self._runner.run(
                lambda: self._send(account, record), CALL_SECONDS * WHOLE_SHARE
            )
        except (BlockingRunnerBusy, TimeoutError):
            raise Dns01Fault(
                "unreachable", f"acme-dns at {where} does not answer in time"
            ) from None
        if status in _REFUSED:
            raise Dns01Fault(
                "refused",
                f"acme-dns at {where} refuses the account of {record.host} ({status}): its "
                f"username, password and subdomain are in Vault at {account.where}, and allowfrom "
                "of the account must include this host",
            )
        if status != _OK:
            asks = "bad subdomain or value" if status == _BAD_REQUEST else "read its log"
            raise Dns01Fault("server", f"acme-dns at {where} answers {status}: {asks}")

    def _send(self, account: AcmeDnsAccount, record: TxtRecord) -> int:
        body = {"subdomain": account.subdomain, "txt": record.value.decode("ascii")}
        try:
            response = self._session.post(
                f"{self._settings.url.rstrip('/')}/update",
                data=json.dumps(body),
                headers={
                    "x-api-user": account.username,
                    "x-api-key": account.password,
                    "content-type": "application/json",
                },
                timeout=CALL_SECONDS,
                allow_redirects=False,
            )
        except (requests.RequestException, OSError, ValueError) as exc:
            why = failure(exc, [self._settings.ca_file])
            raise Dns01Fault(
                "unreachable", f"acme-dns at {self._settings.url} can't be asked: {why}"
            ) from None
        return response.status_code


def read_account(data: Any, where: str) -> AcmeDnsAccount:
    """Return the account of an entry. Raises ``Dns01Fault``, which shows no value."""
    values = [data.get(field) for field in _FIELDS]
    if not all(isinstance(each, str) and _HEADER_VALUE.fullmatch(each) for each in values):
        raise Dns01Fault(
            "account",
            f"Vault's entry {where} needs the fields {', '.join(_FIELDS)}, as acme-dns returns "
            "them for POST /register",
        )
    username, password, subdomain, fulldomain = values
    try:
        name = dns.name.from_text(fulldomain, dns.name.root)
    except dns.exception.DNSException:
        raise Dns01Fault(
            "account", f"Vault's entry {where}: the field fulldomain is no name of DNS"
        ) from None
    return AcmeDnsAccount(where, username, password, subdomain, name)
