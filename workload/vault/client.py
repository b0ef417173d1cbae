"""The calls themselves: have a CSR signed, read whom to believe."""

import contextlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from workload.clock import Now
from workload.settings import KvEntry, KvRoots, PkiRole, PkiRoots, VaultServer
from workload.vault.errors import VaultCallFault, VaultHasNot, VaultRefuses
from workload.vault.http import VaultHttp
from workload.vault.session import VaultSession
from workload.x509.crls import split_crls

MAX_ISSUERS = 32
_REFERENCE = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)


class RootPems(NamedTuple):
    """What Vault says of roots, PEM.

    ``chains`` are texts of certificates. Where ``listed``, somebody wrote them down: each is
    an anchor, whatever signed it.
    """

    chains: tuple[str, ...]
    crls: tuple[str, ...]
    listed: bool = False


class VaultApi:
    """One server and our session with it. Every method raises ``VaultCallFault``, no other."""

    def __init__(self, server: VaultServer, clock: Now) -> None:
        self._http = VaultHttp(server)
        self._session = VaultSession(server.login, self._http, clock)

    async def sign(
        self, role: PkiRole, csr_pem: str, dns_names: Sequence[str], uri_sans: Sequence[str]
    ) -> str:
        """Have a CSR signed; returns the certificate and its chain, PEM, leaf first."""
        path = f"{role.mount}/sign/{role.role}"
        request = {
            "csr": csr_pem,
            "common_name": dns_names[0] if dns_names else "",
            "alt_names": ",".join(dns_names),
            "uri_sans": ",".join(uri_sans),
            "ttl": f"{role.ttl_seconds}s",
        }
        data = _data(await self.call("POST", path, request), path)
        above = data.get("ca_chain") or [data.get("issuing_ca")]
        return "\n".join((_pem(data.get("certificate"), path), *_pems(above, path))) + "\n"

    async def read_roots(self, roots: PkiRoots | KvRoots) -> RootPems:
        """Read roots and, where they are requested, CRLs.

        Of a PKI mount every issuer, the coming and the going one too while a CA is replaced;
        it needs ``list`` on ``<mount>/issuers``, the rest Vault gives to anyone.
        """
        if isinstance(roots, KvRoots):
            return await self._from_kv(roots)
        chains: list[str] = []
        crls: list[str] = []
        for mount in roots.mounts:
            for reference, has_key in (await self._issuers(mount)).items():
                where = f"{mount}/issuer/{reference}"
                data = _data(await self.call("GET", f"{where}/json"), where)
                chain = data.get("ca_chain") or [data.get("certificate")]
                chains.append("\n".join(_pems(chain, where)))
                if roots.crl is True and not has_key:
                    raise VaultHasNot(
                        f"{where}: Vault has no CRL of this issuer, whose key is not in the mount; "
                        "remove the issuer, or set crl='where_there' to believe it without one"
                    )
                if roots.crl and has_key:
                    crls += await self._crls(where)
        return RootPems(tuple(chains), tuple(crls))

    async def read_kv(self, entry: KvEntry) -> dict[str, Any]:
        """Read the fields of the newest version of an entry."""
        path = f"{entry.mount}/data/{entry.path}"
        return dict(_data(_data(await self.call("GET", path), path), path))

    async def token_changes(self) -> int:
        """Return how often our token was another one; a live one is obtained if there is none.

        Vault revokes what a token leased when the token ends.
        """
        await self._session.token()
        return self._session.token_changes

    def forget(self) -> None:
        """Drop the token."""
        self._session.forget()

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make one call below ``/v1/``; a refused token is replaced once."""
        token = await self._session.token()
        try:
            return await self._http.ask(method, path, token, body)
        except VaultRefuses:
            other = await self._session.after_refusal(token)
            if other is None:
                raise
        answer = await self._http.ask(method, path, other, body)
        self._session.login_helped()
        return answer

    async def _crls(self, where: str) -> list[str]:
        """Read an issuer's CRL and its delta CRL: what was revoked since."""
        crls = [_pem(_data(await self.call("GET", f"{where}/crl"), where).get("crl"), where)]
        with contextlib.suppress(VaultHasNot):  # an older Vault knows no delta CRLs
            delta = _data(await self.call("GET", f"{where}/crl/delta"), where)
            crls.append(_pem(delta.get("crl"), where))
        return crls

    async def _issuers(self, mount: str) -> dict[str, bool]:
        """Return each issuer, and whether its key is in the mount: else it has no CRL there."""
        path = f"{mount}/issuers"
        try:
            answer = await self.call("GET", f"{path}?list=true")
        except VaultHasNot:
            return {}
        data = _data(answer, path)
        keys, infos = data.get("keys"), data.get("key_info")
        if not isinstance(keys, list) or len(keys) > MAX_ISSUERS:
            raise VaultCallFault(f"{path}: no list of at most {MAX_ISSUERS} issuers")
        if not all(isinstance(key, str) and _REFERENCE.fullmatch(key) for key in keys):
            raise VaultCallFault(f"{path}: an issuer's reference is none of Vault's")
        return {key: not _lacks_key(infos, key) for key in keys}

    async def _from_kv(self, roots: KvRoots) -> RootPems:
        path = f"{roots.mount}/data/{roots.path}"
        entry = _data(await self.call("GET", path), path).get("data")
        held = entry if isinstance(entry, dict) else {}
        chain = _pem(held.get(roots.field), f"{path}, field {roots.field!r}")
        crls: list[str] = []
        if roots.crl_field is not None:
            where = f"{path}, field {roots.crl_field!r}"
            crls = split_crls(_pem(held.get(roots.crl_field), where))
        return RootPems((chain,), tuple(crls), listed=True)


def _lacks_key(infos: object, key: str) -> bool:
    info = infos.get(key) if isinstance(infos, dict) else None
    return isinstance(info, dict) and info.get("key_id") == ""


def _data(answer: dict[str, Any], where: str) -> dict[str, Any]:
    data = answer.get("data")
    if not isinstance(data, dict):
        raise VaultCallFault(f"{where}: the answer has no data")
    return data


def _pems(values: object, where: str) -> list[str]:
    if not isinstance(values, list):
        raise VaultCallFault(f"{where}: the answer has no chain of certificates")
    return [_pem(value, where) for value in values]


def _pem(value: object, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise VaultCallFault(f"{where}: there is no PEM")
    return value.strip()
