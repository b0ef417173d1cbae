"""Registries that are held in memory as a whole: a file, or one entry of Vault KV."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from sidecar.certificates.on_demand.domains import (
    DomainIndex,
    Registration,
    RegistryFault,
    read_registrations,
    summarise,
)
from sidecar.common.blocking import BlockingRunner, BlockingRunnerBusy
from sidecar.common.poll_pace import PollPace
from sidecar.common.polling import ChangePoll, PollLoop, PollStatus, fault_of
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.config.on_demand import FileRegistry, VaultKvRegistry
from sidecar.config.yamltree import parse_yaml
from sidecar.vault.ports import KvHistoryReader, KvReader

MAX_FILE_BYTES = 67_108_864
MAX_YAML_BYTES = 4_194_304
"""Fifty thousand domains, read in eight seconds; as JSON they take a tenth of one."""
_READ_SECONDS = 60.0
_log = logging.getLogger("sidecar.domains")


class Document(NamedTuple):
    """The content of a source, and a mark that changes with it."""

    mark: object
    domains: DomainIndex
    problems: list[str]
    owners: RegisteredDomains


class DocumentSource(Protocol):
    """A source of a list of domains."""

    name: str

    async def read(self, mark: object) -> Document | None:
        """Read it; return ``None`` if it still has this mark. Raises ``Fault``."""


class ListedRegistry:
    """The domains of one document. If it can't be read, the last ones stay in force."""

    def __init__(
        self,
        source: DocumentSource,
        poll_seconds: float,
        *,
        sleep: Callable[[float], Awaitable[None]],
        jitter: Callable[[], float],
        on_change: Callable[[], Awaitable[None]],
        publish: Callable[[RegisteredDomains], None] = lambda _owners: None,
    ) -> None:
        """``publish`` gets the owners of the domains whenever they have changed."""
        self._source = source
        self._publish = publish
        self._owners = NO_DOMAINS
        self._mark: object = None
        self._index = DomainIndex({})
        self._logged = ""
        self.status = PollStatus(
            "domains",
            f"domain registry {source.name}",
            _log,
            kept="the domains known before stay in force",
        )
        poll = ChangePoll(self.status, self._read, on_change)
        pace = PollPace(lambda: poll_seconds, jitter)
        self._loop = PollLoop(poll, lambda: pace.pause_seconds(self.status), sleep=sleep)

    def __len__(self) -> int:
        """How many domains are known."""
        return len(self._index)

    def __iter__(self) -> Iterator[Registration]:
        """Iterate over all registrations."""
        return iter(self._index)

    def find(self, name: str) -> Registration | None:
        """Return who registered a name. Raises ``NameRefused``."""
        return self._index.find(name)

    async def resolve(self, name: str) -> None:
        """Do nothing: all registrations are in memory."""

    def want(self, name: str) -> None:
        """Do nothing: all registrations are in memory."""

    @property
    def outcomes(self) -> dict[str, int]:
        """Return how many reads succeeded, and how many failed."""
        ok = self.status.outcomes.get("ok", 0)
        return {"ok": ok, "failed": sum(self.status.outcomes.values()) - ok}

    async def start(self) -> None:
        """Read the document. Raises ``RegistryFault``."""
        try:
            await self._read()
        except Exception as exc:  # noqa: BLE001 - at the start, one message for any cause
            self.status.failed(exc)
            fault = fault_of(exc, self._source.name)
            if isinstance(fault, RegistryFault):
                raise fault from None
            raise RegistryFault(f"{self._source.name}: {fault}") from fault
        self.status.succeeded()

    async def run(self) -> None:
        """Poll the document, until cancelled."""
        await self._loop.run()

    async def refresh(self) -> None:
        """Read the document now, if it has changed. A failed read changes nothing."""
        await self._loop.refresh()

    async def _read(self) -> bool:
        try:
            document = await self._source.read(self._mark)
        except RegistryFault as fault:
            raise RegistryFault(f"{self._source.name}: {fault}") from fault
        if document is None:
            return False
        self._index = document.domains
        _log.info("%d domains in %s", len(self._index), self._source.name)
        self._log_once(summarise(document.problems))
        await self._publish_owners(document.owners)
        self._mark = document.mark  # once it is published: where that fails, it is read again
        return True

    async def _publish_owners(self, owners: RegisteredDomains) -> None:
        """Publish shard by shard, so that a long list does not block the event loop."""
        for number, shard in enumerate(owners.shards):
            changed = self._owners.with_shard(number, shard)
            if changed is not self._owners:
                self._publish(changed)
                self._owners = changed
                await asyncio.sleep(0)

    def _log_once(self, problem: str) -> None:
        """Log a problem once, not at every poll."""
        if problem and problem != self._logged:
            _log.error("domain registry %s: %s", self._source.name, problem)
        self._logged = problem


class FileSource:
    """A JSON or YAML file."""

    def __init__(self, settings: FileRegistry) -> None:
        self._path = Path(settings.path)
        self._runner = BlockingRunner("domains", 1)
        self.name = settings.path

    async def read(self, mark: object) -> Document | None:
        """Read the file in a thread, if it has changed."""
        try:
            return await self._runner.run(lambda: self._read(mark), _READ_SECONDS)
        except (BlockingRunnerBusy, TimeoutError):
            raise RegistryFault(
                f"can't be read: the file system did not answer within {_READ_SECONDS:.0f} s"
            ) from None

    def _read(self, mark: object) -> Document | None:
        try:
            found = self._path.stat()
            if (current := (found.st_ino, found.st_mtime_ns, found.st_size)) == mark:
                return None
            if found.st_size > MAX_FILE_BYTES:
                raise RegistryFault(f"has more than {MAX_FILE_BYTES} bytes")
            raw = self._path.read_bytes()
        except OSError as exc:
            raise RegistryFault(f"can't be read: {exc.strerror}") from None
        registrations, problems = read_registrations(_decode(raw))
        return make_document(current, registrations, problems)


def make_document(
    mark: object, registrations: dict[str, Registration], problems: list[str]
) -> Document:
    """Return the indexed document."""
    index = DomainIndex(registrations)
    return Document(mark, index, problems, RegisteredDomains.of(index.owners()))


class RegistryReader(KvReader, KvHistoryReader, Protocol):
    """What is asked of Vault."""


class KvSource:
    """An entry of Vault KV with the field ``domains``; its version is compared first."""

    def __init__(self, settings: VaultKvRegistry, vault: RegistryReader) -> None:
        self._mount, self._path = settings.mount, settings.path
        self._vault = vault
        self._runner = BlockingRunner("domains", 1)
        self.name = f"Vault entry {settings.mount}/{settings.path}"

    async def read(self, mark: object) -> Document | None:
        """Read the entry, if its version has changed."""
        if mark is not None:
            latest = (await self._vault.read_kv_history(self._mount, self._path)).latest
            # The time too: an entry that was removed and created again counts from one.
            if latest is not None and (latest.number, latest.written_at) == mark:
                return None
        secret = await self._vault.read_kv(self._mount, self._path)

        def read() -> Document:
            registrations, problems = read_registrations(dict(secret.data))
            return make_document((secret.version, secret.written_at), registrations, problems)

        try:
            return await self._runner.run(read, _READ_SECONDS)
        except (BlockingRunnerBusy, TimeoutError):
            raise RegistryFault(
                f"can't be read: decoding took longer than {_READ_SECONDS:.0f} s"
            ) from None


def _decode(raw: bytes) -> Any:
    if raw.lstrip()[:1] in {b"{", b"["}:
        try:
            return msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise RegistryFault("begins like JSON but is not valid JSON") from None
    if len(raw) > MAX_YAML_BYTES:
        raise RegistryFault(f"has more than {MAX_YAML_BYTES} bytes of YAML: write it as JSON")
    try:
        tree = parse_yaml(raw.decode())
    except UnicodeDecodeError:
        raise RegistryFault("is neither JSON nor YAML in UTF-8") from None
    if tree.problems:
        raise RegistryFault(f"is neither JSON nor good YAML: {tree.locate(tree.problems[0])}")
    return tree.value
