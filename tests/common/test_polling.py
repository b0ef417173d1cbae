"""Whatever a poll meets, its loop goes on: every poller there is, every exception that comes by.

What stands behind a poller is a fake here, because no real server raises all of these on
demand. The pollers, their loops and what they say are the real ones. Longer than other files: one
table, each row a poller that is built.
"""

import asyncio
import json
import logging
import re
import ssl
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hvac.exceptions
import idna
import pytest
import requests

from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.vault_kv_watch import KvWatch
from sidecar.certificates.managed.probe import Prober
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.certificates.on_demand.domains import DomainIndex
from sidecar.certificates.on_demand.kv_prefix_resolver import KvPrefixResolver
from sidecar.certificates.on_demand.registries import ListedRegistry, make_document
from sidecar.certificates.on_demand.resolution_queue import ResolutionQueue
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Fault
from sidecar.common.polling import PollFault, PollStatus, describe, fault_of
from sidecar.config import model
from sidecar.config.on_demand import VaultKvPrefixRegistry
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.keys.rotation import Statement
from sidecar.observability.alerts import Alert, Alerts, Severity, Webhook
from sidecar.sds.secrets.poller import SecretPoller
from sidecar.sds.secrets.source import VersionedValue
from sidecar.vault import component as vault_component
from sidecar.vault.answers import KvSecret
from tests.module_signing.stored_entry import make_refresher
from tests.support.authorities import Ca, pem
from tests.support.waiting import until

SECRET = "hvs.what-was-read"


def _bad_utf8() -> UnicodeDecodeError:
    return UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, "invalid start byte")


EXCEPTIONS: dict[str, Callable[[], Exception]] = {
    "a file that is gone": lambda: FileNotFoundError(2, "No such file or directory", "/ca.pem"),
    "a file we may not read": lambda: PermissionError(13, "Permission denied", "/ca.pem"),
    "no descriptor left": lambda: OSError(24, "Too many open files"),
    "a CA bundle that requests does not find": lambda: OSError(f"Could not find {SECRET}"),
    "TLS": lambda: ssl.SSLError(1, "[SSL] certificate verify failed"),
    "a socket": lambda: ConnectionResetError(104, "Connection reset by peer"),
    "requests": lambda: requests.exceptions.InvalidURL(SECRET),
    "hvac": lambda: hvac.exceptions.Forbidden(SECRET),
    "json": lambda: json.JSONDecodeError(SECRET, SECRET, 0),
    "not UTF-8": _bad_utf8,
    "a name that is none": lambda: idna.IDNAError(SECRET),
    "a value": lambda: ValueError(SECRET),
    "a key": lambda: KeyError(SECRET),
    "too deep": lambda: RecursionError(SECRET),
    "no memory": MemoryError,
    "a thread": lambda: RuntimeError("can't start new thread"),
    "in time": TimeoutError,
    "several at once": lambda: ExceptionGroup(SECRET, [TypeError(SECRET)]),
    "a fault of ours": lambda: Fault("the words of the fault"),
}


class Faulty:
    """What stands behind a poller: every call of it raises what it is told to."""

    def __init__(self) -> None:
        self.raises: Callable[[], Exception] | None = None
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        async def call(*_: Any, **__: Any) -> Any:
            return self.answer(name)

        return call

    def answer(self, name: str) -> Any:
        self.calls += 1
        if self.raises is not None:
            raise self.raises()
        answers: dict[str, Any] = {
            "read_kv": KvSecret({}, 1),
            "read_kv_latest": (KvSecret({}, 1), 1),
            "list_kv": [],
            "read_mount_crls": (pem(Ca("a").crl()),),
            "fetch": Statement(()),
            "version": 0,
            "read": make_document(1, {}, []),
        }
        return answers.get(name)


async def nap(_seconds: float) -> None:
    await asyncio.sleep(0.001)


async def nothing() -> None:
    """Be told of a change."""


Made = tuple[Callable[[], Coroutine[Any, Any, None]], PollStatus]


def keys(faulty: Faulty) -> Made:
    faulty.name, faulty.issuer = "the keys", "https://iam"  # type: ignore[attr-defined]
    refresher = KeyRefresher(
        [faulty],
        model.Keys(poll_seconds=0.01),
        token_seconds={faulty.issuer: 930},
        clock=monotonic_seconds,
        now=wall_seconds,
        jitter=lambda: 0.0,
        publish=lambda _view: None,
        on_state=lambda _before, _after, _why: None,
    )
    return refresher.run, refresher.statuses[0].status


class Revoked(Faulty):
    name = "what is revoked"

    def parts(self) -> tuple[()]:
        return ()


def revocations(faulty: Faulty) -> Made:
    source = Revoked()
    source.__dict__ = faulty.__dict__
    poller = RevocationPoller(
        source,
        poll_seconds=0.01,
        max_age_seconds=3600,
        clock=monotonic_seconds,
        jitter=lambda: 0.0,
        publish=lambda _revocations, _state: None,
        on_state=lambda _before, _after, _why: None,
    )
    poller.lifecycle.refreshed(monotonic_seconds())
    return poller.run, poller.status


def publishers(faulty: Faulty) -> Made:
    refresher = make_refresher(faulty, poll_seconds=0.01)
    return refresher.run, refresher.status


class Secret:
    kind, name = "generic_secret", "one"

    def __init__(self, faulty: Faulty) -> None:
        self._faulty = faulty

    async def fetch(self) -> VersionedValue[bytes]:
        self._faulty.answer("secret")
        return VersionedValue(b"x", "1", 0.01)


def secrets(faulty: Faulty) -> Made:
    """Trust bundles, session-ticket keys and generic secrets have one loop."""
    poller = SecretPoller(
        [Secret(faulty)],
        now=wall_seconds,
        sleep=nap,
        jitter=lambda: 0.0,
        publish=lambda _source, _fetched: None,
        on_state=lambda _change: None,
    )
    return poller.run, poller.secrets[0].status


def listed_registry(faulty: Faulty) -> Made:
    faulty.name = "domains.json"  # type: ignore[attr-defined]
    registry = ListedRegistry(faulty, 0.01, sleep=nap, jitter=lambda: 0.0, on_change=nothing)
    return registry.run, registry.status


def registry_of_entries(faulty: Faulty) -> Made:
    settings = VaultKvPrefixRegistry(prefix="edge/domains")
    resolver = KvPrefixResolver(settings, faulty, sleep=nap, jitter=lambda: 0.0, on_change=nothing)
    return resolver.run, resolver.status


def stored_certificates(faulty: Faulty) -> Made:
    faulty.name, faulty.poll_seconds, faulty.read = "stored", 0.01, {}  # type: ignore[attr-defined]

    class ManagedCertificate:
        name, issuer, order = "a", faulty, None

    watch = KvWatch(faulty, sleep=nap, jitter=lambda: 0.0)  # type: ignore[arg-type]
    return lambda: watch.run([ManagedCertificate]), watch.status  # type: ignore[arg-type]


def crl(faulty: Faulty) -> Made:
    settings = model.VaultPkiIssuer(name="edge", role="edge", mount="pki")
    watch = RevocationWatch(settings, faulty.read_mount_crls, sleep=nap, jitter=lambda: 0.0)
    return lambda: watch.run([]), watch.status  # type: ignore[arg-type]


def challenges(faulty: Faulty) -> Made:
    solver = DistributedSolver(
        faulty,
        "secret",
        "challenges",
        now=wall_seconds,
        clock=lambda: 100 * monotonic_seconds(),  # it asks again after seconds
        sleep=nap,
        jitter=lambda: 0.0,
    )

    async def run() -> None:
        async def ask() -> None:
            while True:
                assert await solver.find_host("a.example") is None
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(solver.run())
            tasks.create_task(ask())

    return run, solver.status


def probes(faulty: Faulty) -> Made:
    class Store:
        def watch(self, _changed: object) -> None: ...

        def get(self, _name: str) -> None:
            faulty.answer("store")

    class Target:
        settings = SimpleNamespace(every_seconds=0.01)

    prober = Prober(
        {"a": Target},  # type: ignore[dict-item]
        Store(),  # type: ignore[arg-type]
        clock=monotonic_seconds,
        now=wall_seconds,
        sleep=nap,
        on_change=lambda _name, _well, _seen: None,
    )
    return prober.run, prober.status


def login(faulty: Faulty) -> Made:
    status = PollStatus("vault_login", "the login", logging.getLogger("sidecar"))
    return lambda: vault_component._keep_logged_in(faulty, status), status  # type: ignore[arg-type]


POLLERS = [
    keys,
    revocations,
    publishers,
    secrets,
    listed_registry,
    registry_of_entries,
    stored_certificates,
    crl,
    challenges,
    probes,
    login,
]


def failed_often(faulty: Faulty, status: PollStatus, calls: int) -> bool:
    return bool(status.problem) and faulty.calls >= calls


@pytest.mark.parametrize("make", POLLERS, ids=[each.__name__ for each in POLLERS])
async def test_every_poller_outlives_every_exception(
    make: Callable[[Faulty], Made],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(vault_component, "_LOGIN_CHECK_SECONDS", 0.01)
    caplog.set_level(logging.INFO)
    faulty = Faulty()
    run, status = make(faulty)
    task = asyncio.create_task(run())
    for kind, exception in EXCEPTIONS.items():
        faulty.raises = None
        await until(lambda: not status.problem and status.outcomes.get("ok"), task=task)
        caplog.clear()
        faulty.raises = exception
        met = faulty.calls + 3
        await until(partial(failed_often, faulty, status, met), task=task)
        said = [r for r in caplog.records if r.levelno >= logging.ERROR]
        assert len(said) == 1, f"{kind}: said once, however often it is met"
        assert SECRET not in caplog.text + status.problem, kind
    faulty.raises = None
    await until(lambda: not status.problem, task=task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_could_not_be_told_of_a_change_is_told_later() -> None:
    """The document is not read again for it: it has not changed since."""
    told: list[bool] = []
    source = Faulty()
    source.name = "domains.json"  # type: ignore[attr-defined]

    async def tell() -> None:
        told.append(True)
        if len(told) < 3:
            raise KeyError(SECRET)

    registry = ListedRegistry(source, 1, sleep=nap, jitter=lambda: 0.0, on_change=tell)
    await registry.refresh()
    source.read = _unchanged  # type: ignore[attr-defined]
    for _ in range(4):
        await registry.refresh()
    assert len(told) == 3


async def _unchanged(_mark: object) -> None:
    return None


@pytest.mark.parametrize("kind", EXCEPTIONS)
async def test_a_question_to_a_registry_ends_for_everyone_who_waits(kind: str) -> None:
    faulty = Faulty()
    faulty.raises = EXCEPTIONS[kind]
    resolved: list[str] = []
    failed: list[tuple[str, str]] = []
    resolving = ResolutionQueue(
        faulty,
        retry_seconds=5,
        clock=monotonic_seconds,
        resolved=resolved.append,
        failed=lambda name, why: failed.append((name, why)),
    )
    resolving.ask("a.example", "a.example")
    resolving.ask("a.example", "A.example")
    async with asyncio.timeout(5):
        while len(resolved) < 2:
            await asyncio.sleep(0)
    assert sorted(resolved) == ["A.example", "a.example"]
    assert [name for name, _ in failed] == ["a.example"]
    assert SECRET not in failed[0][1]
    await resolving.close()


@pytest.mark.parametrize("kind", EXCEPTIONS)
async def test_an_alert_is_tried_again_whatever_its_delivery_raises(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("0123456789abcdef0123456789abcdef")
    alerts = Alerts(wall_seconds, with_webhook=True)
    settings = model.WebhookSettings(url="https://alerts.example/", secret_file=str(secret))
    webhook = Webhook(settings, alerts, now=wall_seconds, sleep=nap, jitter=lambda: 0.0)
    raises: list[Exception] = [EXCEPTIONS[kind]() for _ in range(3)]

    def post(_event: object) -> int:
        if raises:
            raise raises.pop()
        return 204

    monkeypatch.setattr(webhook, "_post", post)
    task = asyncio.create_task(webhook.run())
    alerts.say(Alert(Severity.WARNING, "subject", "outage", "words"))
    await until(lambda: webhook.delivered == 1, task=task)
    assert webhook.failed == 3
    assert SECRET not in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


FAULTS = [
    ("a fault is itself", Fault("words"), "words", Fault),
    ("a file", FileNotFoundError(2, "No such file", "/x"), "here: /x: No such file", PollFault),
    ("no file", OSError(24, "Too many open files"), "here: Too many open files", PollFault),
    ("no words", OSError(SECRET), "here: OSError", PollFault),
    ("a defect", KeyError(SECRET), "here: KeyError", PollFault),
    ("the first of a group", ExceptionGroup("g", [Fault("words"), KeyError()]), "words", Fault),
]


@pytest.mark.parametrize(
    ("exc", "said", "kind"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_how_an_exception_is_named(exc: Exception, said: str, kind: type[Fault]) -> None:
    fault = fault_of(exc, "here")
    assert (str(fault), type(fault)) == (said, kind)


def test_a_defect_is_named_with_its_place_in_our_code() -> None:
    with pytest.raises(AttributeError) as defect:
        DomainIndex(None).find("a.example")  # type: ignore[arg-type]
    assert re.fullmatch(
        r"AttributeError in sidecar/certificates/on_demand/domains\.py:\d+", describe(defect.value)
    )
    with pytest.raises(TypeError) as elsewhere:
        json.loads(5)  # type: ignore[arg-type]
    assert describe(elsewhere.value) == "TypeError"
