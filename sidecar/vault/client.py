"""The client of Vault for the event loop: hvac in a few threads, with bounded calls.

A frozen Vault makes calls hang: each call has hvac's time-out, its caller has another, and no
call queues behind those that hang (``sidecar.common.blocking``).

Logging in, renewing (at two thirds of the token's life) and logging in again after a refusal
happen inside the call that needs it (``identity``). The runtime calls ``login`` at an interval,
so that the token is renewed even if there are no other calls.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from hvac import exceptions
from hvac.adapters import RawAdapter

from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.lanes import LanedRunner
from sidecar.config import model
from sidecar.vault import transit_calls
from sidecar.vault.answers import KvSecret, TransitKey, secret_of
from sidecar.vault.auth import TokenLease
from sidecar.vault.connection import VaultConnection
from sidecar.vault.contact import VaultContact
from sidecar.vault.errors import VaultConflict, VaultFault, VaultUnreachable
from sidecar.vault.history import NO_HISTORY, KvHistory, read_history
from sidecar.vault.kv_calls import list_histories, read_latest
from sidecar.vault.versions import keep_one_version

_THREADS = 4
_THREADS_A_LANE = 8
_CALLER_PATIENCE = 2.5
"""How many of hvac's time-outs a caller waits: a login, a call, and a reserve."""

T = TypeVar("T")

CallObserver = Callable[[str, str, float], None]
"""Called with operation, outcome (``ok`` or the fault's class) and seconds."""


class VaultClient:
    """The sidecar's calls to Vault. Every method raises only ``VaultFault``."""

    def __init__(
        self,
        settings: model.Vault,
        *,
        clock: Callable[[], float],
        observe: CallObserver = lambda _operation, _outcome, _seconds: None,
        connection: VaultConnection | None = None,
        runner: BlockingRunner | LanedRunner | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._observe = observe
        self._connection = VaultConnection(settings, clock) if connection is None else connection
        self._runner = BlockingRunner("vault", _THREADS) if runner is None else runner

    def with_own_threads(self, name: str) -> "VaultClient":
        """Return a client with the same login and its own threads.

        So calls that clients of the edge can cause in any number delay no other calls.
        """
        return self._with(BlockingRunner(name, _THREADS))

    def with_lanes(self, name: str) -> "VaultClient":
        """Return a client with the same login, and its own threads for every lane.

        A call waits for a thread of its lane, and for no call of another (``common.lanes``).
        """
        return self._with(LanedRunner(name, _THREADS_A_LANE))

    def _with(self, runner: BlockingRunner | LanedRunner) -> "VaultClient":
        return VaultClient(
            self._settings,
            clock=self._clock,
            observe=self._observe,
            connection=self._connection,
            runner=runner,
        )

    @property
    def is_healthy(self) -> bool:
        """Tell whether Vault answered the last call of this client or one with its login."""
        return self._connection.contact.is_healthy

    @property
    def contact(self) -> VaultContact:
        """Return how Vault has answered the calls of this client and of those with its login."""
        return self._connection.contact

    @property
    def lease(self) -> TokenLease | None:
        """Return the lease on our token; ``None`` before the first login."""
        return self._connection.identity.lease

    async def login(self) -> None:
        """Log in, and fail early and clearly if that is not possible.

        With a token from a file that is no more than reading it: whether Vault takes it
        shows at the first read. Also raises ``VaultFault`` for a token that lives, and could
        not be renewed when that was due.
        """
        await self._call("login", "auth", lambda _client: self._connection.identity.check())

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        """Read the latest version of an entry in KV v2."""
        return await self._read_version(mount, path, None)

    async def read_kv_latest(self, mount: str, path: str) -> tuple[KvSecret | None, int]:
        """Read an entry that is to be overwritten, and the version to overwrite."""
        return await self._call(
            "kv_read", f"{mount}/data/{path}", lambda client: read_latest(client, mount, path)
        )

    async def read_kv_raw(self, mount: str, path: str) -> bytes:
        """Read the latest version of an entry in KV v2 as the bytes of Vault's answer.

        For long entries, which the caller decodes in pieces and off the event loop.
        """

        def read(client: Any) -> bytes:
            raw = RawAdapter.from_adapter(client.adapter)
            return bytes(raw.get(url=f"/v1/{mount}/data/{path}").content)

        return await self._call("kv_read", f"{mount}/data/{path}", read)

    async def read_kv_at(self, mount: str, path: str, version: int) -> KvSecret:
        """Read one version of an entry in KV v2. Raises ``VaultNotFound`` if it is deleted."""
        return await self._read_version(mount, path, version)

    async def _read_version(self, mount: str, path: str, version: int | None) -> KvSecret:
        def read(client: Any) -> KvSecret:
            answer = client.secrets.kv.v2.read_secret_version(
                path, version=version, mount_point=mount, raise_on_deleted_version=True
            )
            return secret_of(answer["data"])

        return await self._call("kv_read", f"{mount}/data/{path}", read)

    async def read_kv_history(self, mount: str, path: str) -> KvHistory:
        """Read which versions of an entry in KV v2 exist; none if there is no entry."""
        return await self._read_metadata(mount, path, read_history, NO_HISTORY)

    async def read_kv_version(self, mount: str, path: str) -> int:
        """Read the number of the latest version of an entry in KV v2; 0 if there is none."""
        return await self._read_metadata(mount, path, lambda data: int(data["current_version"]), 0)

    async def _read_metadata(
        self, mount: str, path: str, parse: Callable[[Mapping[str, Any]], T], absent: T
    ) -> T:
        def read(client: Any) -> T:
            try:
                answer = client.secrets.kv.v2.read_secret_metadata(path, mount_point=mount)
            except exceptions.InvalidPath as exc:
                if exc.errors:  # no entry is silent; Vault says it of a mount or a namespace
                    raise
                return absent
            return parse(answer["data"])

        return await self._call("kv_metadata", f"{mount}/metadata/{path}", read)

    async def list_kv(self, mount: str, path: str) -> list[str]:
        """List the entries directly below a path in KV v2; none if there are none."""

        def names(client: Any) -> list[str]:
            try:
                answer = client.secrets.kv.v2.list_secrets(path, mount_point=mount)
            except exceptions.InvalidPath as exc:
                if exc.errors:
                    raise
                return []
            return [str(key) for key in answer["data"]["keys"]]

        return await self._call("kv_list", f"{mount}/metadata/{path}", names)

    async def list_kv_histories(
        self, mount: str, path: str
    ) -> Mapping[str, KvHistory | None] | None:
        """List the entries directly below a path with their versions; ``None`` if Vault can't."""
        return await self._call(
            "kv_list",
            f"{mount}/detailed-metadata/{path}",
            lambda client: list_histories(client, mount, path),
        )

    async def write_kv(self, mount: str, path: str, data: Mapping[str, Any], cas: int) -> int:
        """Write an entry of KV v2 if ``cas`` is still its latest version (0: there is none).

        No older version is kept: if the entry can't be configured so, nothing is written. Returns
        the new version. Raises ``VaultConflict`` if another client wrote first.
        """
        if self._connection.capped.lacks(mount, path, cas):
            await self._call(
                "kv_metadata",
                f"{mount}/metadata/{path}",
                lambda client: keep_one_version(client, mount, path),
            )
            self._connection.capped.add(mount, path)

        def write(client: Any) -> int:
            try:
                answer = client.secrets.kv.v2.create_or_update_secret(
                    path, dict(data), cas=cas, mount_point=mount
                )
            except exceptions.InvalidRequest as exc:
                if "check-and-set" in str(exc):
                    raise VaultConflict(
                        f"{mount}/data/{path}: another client wrote first"
                    ) from None
                raise
            return int(answer["data"]["version"])

        return await self._call("kv_write", f"{mount}/data/{path}", write)

    async def read_time(self) -> float:
        """Read Vault's clock (whole Unix seconds), which a fleet has in common."""

        def read(client: Any) -> float:
            answer = client.sys.read_health_status(method="GET")
            health = answer if isinstance(answer, dict) else answer.json()
            return float(health["server_time_utc"])

        return await self._call("time", "sys/health", read)

    async def read_transit_key(self, mount: str, name: str) -> TransitKey:
        """Read the public halves of a transit key's versions."""
        read = partial(transit_calls.read_key, mount=mount, name=name)
        return await self._call("transit_read", f"{mount}/keys/{name}", read)

    async def new_data_key(self, mount: str, name: str) -> tuple[str, str]:
        """Have transit make a key of 256 bits; return it in base64, and wrapped by a key."""
        make = partial(transit_calls.new_data_key, mount=mount, name=name)
        return await self._call("transit_datakey", f"{mount}/datakey/plaintext/{name}", make)

    async def open_data_key(self, mount: str, name: str, wrapped: str) -> str:
        """Have transit unwrap a key; return it in base64."""
        unwrap = partial(transit_calls.open_data_key, mount=mount, name=name, wrapped=wrapped)
        return await self._call("transit_decrypt", f"{mount}/decrypt/{name}", unwrap)

    async def sign_csr(
        self,
        mount: str,
        role: str,
        csr_pem: str,
        *,
        common_name: str,
        alt_names: Sequence[str],
        uri_sans: Sequence[str],
        ip_sans: Sequence[str] = (),
        ttl_seconds: int,
    ) -> str:
        """Have a CSR signed; return the certificate and its chain, PEM, leaf first."""
        wanted = {"alt_names": ",".join(alt_names), "ttl": f"{ttl_seconds}s"}
        if uri_sans:
            wanted["uri_sans"] = ",".join(uri_sans)
        if ip_sans:
            wanted["ip_sans"] = ",".join(ip_sans)

        def sign(client: Any) -> str:
            answer = client.secrets.pki.sign_certificate(
                role,
                csr_pem,
                common_name,
                extra_params=wanted,
                mount_point=mount,
            )
            data = answer["data"]
            chain = data.get("ca_chain") or [data["issuing_ca"]]
            return "\n".join(each.strip() for each in (data["certificate"], *chain)) + "\n"

        return await self._call("pki_sign", f"{mount}/sign/{role}", sign)

    async def perform(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        """Run ``function`` with hvac's client in a thread, for other calls.

        ``operation`` is a metric's label, from a closed set; ``path`` is for messages.
        """
        return await self._call(operation, path, function)

    @property
    def token_expires_at(self) -> float | None:
        """Return when the token expires (monotonic seconds); ``None`` if never or unknown."""
        lease = self._connection.identity.lease
        return lease.expires_at if lease is not None else None

    async def close(self) -> None:
        """Stop making calls and forget the token. A thread that hangs is abandoned."""
        self._runner.close()
        self._connection.identity.forget()
        self._connection.close_idle()

    async def _call(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        started = self._clock()
        try:
            result = await self._in_thread(path, function)
        except VaultFault as fault:
            self._connection.contact.refused(operation, fault)
            self._observe(operation, type(fault).__name__, self._clock() - started)
            raise
        self._connection.contact.succeeded()
        self._observe(operation, "ok", self._clock() - started)
        return result

    async def _in_thread(self, path: str, function: Callable[[Any], T]) -> T:
        where = self._connection.where(path)
        patience = self._settings.timeout_seconds * _CALLER_PATIENCE
        try:
            return await self._runner.run(partial(self._connection.run, path, function), patience)
        except BlockingRunnerBusy:
            raise VaultUnreachable(
                f"{where}: earlier calls still hang, or the sidecar is stopping"
            ) from None
        except TimeoutError:
            raise VaultUnreachable(f"{where}: no answer within {patience:.1f} s") from None
