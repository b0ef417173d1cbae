"""Vault, seen from the event loop: hvac in a few threads of its own, every call bounded.

A frozen Vault makes calls hang, and threads can't be interrupted. So there are few of
them, each call has hvac's time-out, the caller has its own, and when all threads hang a
further call fails at once instead of queueing.

Logging in, renewing (at two thirds of the token's life) and logging in again after a
refusal happen inside the call that needs it: the sidecar polls Vault every few seconds,
so no task of its own is needed to keep a token alive.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from sidecar.config import model
from sidecar.vault.auth import Lease, lease_of, make_auth
from sidecar.vault.errors import (
    VaultFault,
    VaultForbidden,
    VaultNotFound,
    VaultRejected,
    VaultSealed,
    VaultUnreachable,
)

MAX_RESPONSE_BYTES = 8_388_608
_THREADS = 4
_CALLER_PATIENCE = 2.5
"""How many of hvac's time-outs a caller waits: a login, a call, and a little."""

T = TypeVar("T")
CallObserver = Callable[[str, str, float], None]
"""Called with operation, outcome (``ok`` or the fault's class) and seconds."""


class KvSecret(NamedTuple):
    """One version of an entry in KV v2."""

    data: Mapping[str, Any]
    version: int

    def __repr__(self) -> str:
        """Show the names and the version, never a value."""
        return f"KvSecret(fields={sorted(self.data)}, version={self.version})"


class VaultClient:
    """The calls the sidecar makes. Every method raises ``VaultFault`` and nothing else."""

    def __init__(
        self,
        settings: model.Vault,
        *,
        clock: Callable[[], float],
        observe: CallObserver = lambda _operation, _outcome, _seconds: None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._observe = observe
        self._auth = make_auth(settings.auth)
        self._lease: Lease | None = None
        self._lease_lock = threading.Lock()
        self._free = threading.Semaphore(_THREADS)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="vault")
        self._client: Any = None

    async def login(self) -> None:
        """Log in, and fail early and clearly if that is not possible."""
        await self._call("login", "auth", lambda client: client)

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        """Read the latest version of an entry in KV v2."""

        def read(client: Any) -> KvSecret:
            answer = client.secrets.kv.v2.read_secret_version(
                path, mount_point=mount, raise_on_deleted_version=True
            )
            entry = answer["data"]
            return KvSecret(entry["data"], int(entry["metadata"]["version"]))

        return await self._call("kv_read", f"{mount}/data/{path}", read)

    async def sign_csr(
        self,
        mount: str,
        role: str,
        csr_pem: str,
        *,
        common_name: str,
        alt_names: Sequence[str],
        ttl_seconds: int,
    ) -> str:
        """Have a CSR signed; returns the certificate and its chain, PEM, leaf first."""

        def sign(client: Any) -> str:
            answer = client.secrets.pki.sign_certificate(
                role,
                csr_pem,
                common_name,
                extra_params={"alt_names": ",".join(alt_names), "ttl": f"{ttl_seconds}s"},
                mount_point=mount,
            )
            data = answer["data"]
            chain = data.get("ca_chain") or [data["issuing_ca"]]
            return "\n".join(each.strip() for each in (data["certificate"], *chain)) + "\n"

        return await self._call("pki_sign", f"{mount}/sign/{role}", sign)

    async def close(self) -> None:
        """Let the threads go. One that hangs ends with its time-out."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._lease = None

    async def _call(self, operation: str, path: str, function: Callable[[Any], T]) -> T:
        started = self._clock()
        try:
            result = await self._in_thread(path, function)
        except VaultFault as fault:
            self._observe(operation, type(fault).__name__, self._clock() - started)
            raise
        self._observe(operation, "ok", self._clock() - started)
        return result

    async def _in_thread(self, path: str, function: Callable[[Any], T]) -> T:
        if not self._free.acquire(blocking=False):
            raise VaultUnreachable(f"{self._where(path)}: earlier calls still hang")

        def run() -> T:
            try:
                return self._run(path, function)
            finally:
                self._free.release()

        patience = self._settings.timeout_seconds * _CALLER_PATIENCE
        future = asyncio.get_running_loop().run_in_executor(self._threads, run)
        try:
            return await asyncio.wait_for(asyncio.shield(future), patience)
        except TimeoutError:
            future.add_done_callback(_swallow)
            raise VaultUnreachable(
                f"{self._where(path)}: no answer within {patience:.1f} s"
            ) from None

    def _run(self, path: str, function: Callable[[Any], T]) -> T:
        """Make one call in a thread; a refused token is replaced once."""
        with _translated(self._where(path)):
            client = self._ready_client()
            try:
                return function(client)
            except _hvac().exceptions.Forbidden:
                with self._lease_lock:
                    self._log_in(client)
                return function(client)

    def _ready_client(self) -> Any:
        """Return a client with a live token, renewing or logging in where that is due."""
        with self._lease_lock:
            if self._client is None:
                self._client = _make_client(self._settings)
            client = self._client
            lease, now = self._lease, self._clock()
            if lease is None or self._auth.stale() or _past(lease.expires_at, now):
                self._log_in(client)
            elif _past(lease.renew_at, now):
                self._renew(client, lease, now)
            return client

    def _log_in(self, client: Any) -> None:
        client.token = ""
        self._lease = self._auth.login(client, self._clock())
        client.token = self._lease.token

    def _renew(self, client: Any, lease: Lease, now: float) -> None:
        """Renew; where Vault will not, log in again while the old token still lives."""
        if lease.renewable:
            try:
                renewed = lease_of(client.auth.token.renew_self()["auth"], now)
            except (_hvac().exceptions.Forbidden, _hvac().exceptions.InvalidRequest):
                pass
            else:
                # Near its maximum a token is renewed for less and less: then log in instead.
                if lease.expires_at is None or _later(renewed.renew_at, lease.expires_at):
                    self._lease = renewed
                    return
        self._log_in(client)

    def _where(self, path: str) -> str:
        return f"Vault at {self._settings.address}, {path}"


def _past(moment: float | None, now: float) -> bool:
    return moment is not None and now >= moment


def _later(moment: float | None, other: float) -> bool:
    return moment is None or moment > other


def _swallow(future: "asyncio.Future[Any]") -> None:
    """Take note of the outcome of a call whose caller has left."""
    if not future.cancelled():
        future.exception()


def _hvac() -> Any:
    import hvac  # noqa: PLC0415 - 8 MB and 0.2 s that `sidecar token` need not pay

    return hvac


def _make_client(settings: model.Vault) -> Any:
    from sidecar.vault.session import make_session  # noqa: PLC0415 - brings requests

    return _hvac().Client(
        url=settings.address.rstrip("/"),
        token="",  # None would make hvac read VAULT_TOKEN
        timeout=settings.timeout_seconds,
        verify=settings.ca_file or True,
        allow_redirects=False,
        namespace=settings.namespace,
        session=make_session(settings.ca_file, MAX_RESPONSE_BYTES),
    )


class _translated:  # noqa: N801 - reads as a statement
    """Turns what hvac and requests raise into our faults, without what they quote."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, exc: BaseException | None, _trace: object) -> None:
        if exc is None or isinstance(exc, VaultFault) or not isinstance(exc, Exception):
            return
        raise translate(exc, self._where) from None


_GONE = (VaultUnreachable, "cannot be reached")
_FAULTS: dict[str, tuple[type[VaultFault], str]] = {
    # requests
    "SSLError": (VaultUnreachable, "TLS fails; is vault.ca_file its CA?"),
    "Timeout": (VaultUnreachable, "no answer in time"),
    "RequestException": _GONE,
    "HTTPError": _GONE,  # urllib3's, while an answer is read
    # hvac
    "VaultDown": (VaultSealed, "sealed, standing by or not initialised"),
    "VaultNotInitialized": (VaultSealed, "sealed, standing by or not initialised"),
    "Forbidden": (VaultForbidden, "permission denied; see its policy and vault.auth"),
    "Unauthorized": (VaultForbidden, "permission denied; see its policy and vault.auth"),
    "InvalidPath": (VaultNotFound, "nothing is there, or it was deleted"),
    "InvalidRequest": (VaultRejected, "the request is refused as invalid"),
    "RateLimitExceeded": (VaultUnreachable, "it limits our rate"),
    "InternalServerError": (VaultUnreachable, "it answers with an error of its own"),
    "BadGateway": _GONE,
}


def translate(exc: Exception, where: str) -> VaultFault:
    """Name the fault of an exception of hvac or requests; ``where`` begins the message.

    By class name, most special first: the libraries need not be imported for it.
    """
    for kind in type(exc).__mro__:
        if kind.__name__ in _FAULTS:
            fault, words = _FAULTS[kind.__name__]
            return fault(f"{where}: {words}")
    return VaultRejected(f"{where}: the answer can't be understood ({type(exc).__name__})")
