"""No exception of one call stops a queue, a timer, a callback or a poll.

Each row of the table injects one exception into one place, sees that the next thing there is
done all the same, and that the exception was counted: once each. Longer than other files, for
it is one table, and each of its rows is a function.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509

from sidecar.authz.recorder import DRAIN_SECONDS, DecisionRecorder
from sidecar.authz.service import CheckService
from sidecar.authz.snapshot import build_snapshot
from sidecar.certificates.challenges.challenge_list import TLS_ALPN, Challenge
from sidecar.certificates.challenges.tls_alpn01 import ChallengeCertificates
from sidecar.certificates.managed import probe as probe_module
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.probe import Prober, Target
from sidecar.certificates.managed.revocation import RevocationWatch
from sidecar.certificates.managed.served import ServedChain
from sidecar.certificates.managed.store import CertificateStore
from sidecar.certificates.on_demand import component as on_demand_component
from sidecar.common.blocking import BlockingRunner
from sidecar.common.clock import elapsed_ns, monotonic_seconds, wall_seconds
from sidecar.common.faults import (
    REPEAT_SECONDS,
    FaultReporter,
    report_to_loop,
    reported,
    watch_loop,
)
from sidecar.common.polling import UNEXPECTED, PollStatus
from sidecar.common.reasons import Reason
from sidecar.config import model, parse_config
from sidecar.config.certificates import Probe
from sidecar.context import AppContext
from sidecar.observability.alerts import Alert, Alerts, Severity, Webhook
from sidecar.observability.audit import AuditLog, FileSink
from sidecar.observability.counters import Counters
from sidecar.runtime.workers.channel import Channel
from sidecar.runtime.workers.frames import Applied, FromWorker, UnknownKid
from sidecar.runtime.workers.framing import MAX_FROM_WORKER_BYTES, FrameReader, encode
from sidecar.tokens.cache import TokenCache
from sidecar.transport import guard as guard_module
from sidecar.transport import h2
from sidecar.transport.aio import GrpcServer, check_handlers
from sidecar.transport.h2 import H2Server
from sidecar.transport.h2_connection import H2Connection
from sidecar.transport.lane import SlowLane
from sidecar.transport.limits import Limits
from sidecar.transport.names import CHECK_METHOD, CHECK_SERVICE
from sidecar.transport.peers import make_rule, read_peer
from sidecar.transport.unary import UnaryConnection
from tests.authz.checks import check_request, read_answer
from tests.authz.conftest import CONFIG
from tests.certificates.challenges.test_distributed_solver import ask, challenge
from tests.certificates.challenges.test_distributed_solver import make as make_solver
from tests.support.authorities import Ca
from tests.support.failing import fail_on
from tests.support.fleet_kv import MemoryKv
from tests.support.ids import one_id
from tests.support.minting import NOW, Issuer
from tests.support.on_demand_world import World, material
from tests.support.waiting import until
from tests.transport.test_guard import Guarded

LOGGED = "internal error (a bug in the sidecar)"

CHALLENGES = "/.well-known/acme-challenge/"
ROUTE = """
  - name: below-the-challenges
    path_prefix: /.well-known
    auth: required
"""


class BoomError(Exception):
    """What is injected: an exception that nobody expects."""


def boom(*_: object, **__: object) -> Any:
    raise BoomError


def boom_once(then: Callable[..., Any] = lambda *_: None) -> Callable[..., Any]:
    """Raise at the first call, and do what is to be done at the others."""
    calls = iter([boom])

    def run(*arguments: Any) -> Any:
        return next(calls, then)(*arguments)

    return run


class Faults(list[BaseException]):
    """What was counted."""


@pytest.fixture
async def faults() -> Faults:
    counted = Faults()
    watch_loop(asyncio.get_running_loop(), counted.append)
    return counted


async def a_call_in_the_slow_lane(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    lane = SlowLane(asyncio.get_running_loop())
    ended: list[asyncio.Future[str]] = []
    bad = [lane.later(each) for each in (boom, lambda: next(iter(())))]
    ended.append(lane.later(lambda: str(ended[0].cancel())))
    good = lane.later(lambda: "good")
    assert await good == "good"
    with pytest.raises(BoomError):
        await bad[0]
    with pytest.raises(RuntimeError, match="StopIteration"):
        await bad[1]
    assert ended[0].cancelled()
    await asyncio.sleep(0)
    assert lane.free()
    lane.later(boom)  # nobody awaits it: the loop counts it
    await lane.later(str)


async def a_record_of_a_decision(faults: Faults, tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    audit = AuditLog(FileSink(tmp / "audit"), queue_lines=100, on_error=fail_on)
    recorder = DecisionRecorder(
        Counters(), audit, asyncio.get_running_loop().call_later, faults.append
    )
    service = make_service(recorder, faults)
    recorder._wait(Unreadable())  # type: ignore[arg-type]
    service.handle(check_request(path="/api/x"))
    await asyncio.sleep(DRAIN_SECONDS * 3)
    service.handle(check_request(path="/api/x"))
    await until(lambda: not recorder._waiting)
    assert audit.close(5)
    assert (audit.written, audit.dropped) == (2, 1)


async def whoever_hears_of_unknown_keys(
    faults: Faults, tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    audit = AuditLog(FileSink(tmp / "audit"), queue_lines=100, on_error=fail_on)
    recorder = DecisionRecorder(Counters(), audit, lambda *_: None, faults.append)
    recorder.on_key_unknown = boom
    token = Issuer.generate("key-9").mint()
    raw = check_request(headers={"authorization": f"Bearer {token.decode()}"})
    answer = make_service(recorder, faults).handle(raw)
    assert isinstance(answer, bytes)
    assert read_answer(answer).metadata["reason"] == Reason.KEY_UNKNOWN
    audit.close(1)


def make_service(observer: Any, faults: Faults, **changes: Any) -> CheckService:
    issuer = Issuer.generate()
    return CheckService(
        build_snapshot(parse_config(changes.pop("config", CONFIG), "test"), issuer.ring),
        now=lambda: NOW,
        elapsed_ns=elapsed_ns,
        new_id=one_id,
        observer=observer,
        on_fault=faults.append,
        cache=TokenCache(),
        **changes,
    )


class Nobody:
    """An observer that does nothing."""

    def decided(self, _: object) -> None: ...

    def allowed_fast(self, _: object) -> None: ...


class Unreadable:
    """A record that no line can be made of."""

    def __iter__(self) -> Any:
        raise BoomError


class Source:
    """Challenges, of which the search raises, at once or later."""

    def __init__(self, *, at_once: bool) -> None:
        self._at_once = at_once

    def find(self, _token: str) -> Any:
        return boom() if self._at_once else self._later()

    async def _later(self) -> None:
        await asyncio.sleep(0)
        raise BoomError


async def the_search_for_a_challenge(
    faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    service = make_service(Nobody(), faults, lane=SlowLane(asyncio.get_running_loop()))
    service.challenges = Source(at_once=False)
    waiting = service.handle(check_request(path=CHALLENGES + "x" * 40))
    assert not isinstance(waiting, bytes)
    assert read_answer(await waiting).metadata["reason"] == Reason.ROUTE_UNKNOWN


async def the_search_for_a_challenge_at_once(
    faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    service = make_service(Nobody(), faults, lane=SlowLane(asyncio.get_running_loop()))
    service.challenges = Source(at_once=True)
    answer = service.handle(check_request(path=CHALLENGES + "x" * 40))
    assert isinstance(answer, bytes)
    assert read_answer(answer).metadata["reason"] == Reason.INTERNAL_FAULT
    service.challenges = None
    answer = service.handle(check_request(path=CHALLENGES + "x" * 40))
    assert isinstance(answer, bytes)
    assert read_answer(answer).metadata["reason"] == Reason.ROUTE_UNKNOWN


async def h2_call(address: str, raw: bytes) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        answer: bytes = await channel.unary_unary(CHECK_METHOD)(raw, timeout=10)
        return answer


async def served(faults: Faults, handle: Any) -> H2Server:
    server = H2Server(
        "127.0.0.1:0", {CHECK_METHOD: handle}, limits=Limits(), clock=monotonic_seconds,
        on_fault=faults.append,
    )  # fmt: skip
    await server.start()
    return server


async def a_handler(faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    server = await served(faults, boom_once(lambda raw: raw))
    with pytest.raises(grpc.aio.AioRpcError):
        await h2_call(server.bound_address, b"bad")
    assert await h2_call(server.bound_address, b"good") == b"good"
    await server.stop(0.1)


async def the_answer_of_a_handler_that_took_its_time(
    faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch
) -> None:
    async def later(raw: bytes) -> bytes:
        await asyncio.sleep(0.01)
        return raw

    server = await served(faults, later)
    real = H2Connection._answer
    patch.setattr(H2Connection, "_answer", boom_once_bound(real))
    with pytest.raises(grpc.aio.AioRpcError):
        await h2_call(server.bound_address, b"bad")
    assert await h2_call(server.bound_address, b"good") == b"good"
    await server.stop(0.1)


async def what_is_read_from_a_connection(
    faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch
) -> None:
    server = await served(faults, lambda raw: raw)
    patch.setattr(UnaryConnection, "receive", boom_once_bound(UnaryConnection.receive))
    await until_served(server)
    await server.stop(0.1)


async def what_is_written_to_a_connection(
    faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch
) -> None:
    server = await served(faults, lambda raw: raw)
    real, calls = UnaryConnection.outgoing, [0]

    def outgoing(connection: UnaryConnection) -> bytes:
        calls[0] += 1
        return boom() if calls[0] == 2 else real(connection)

    patch.setattr(UnaryConnection, "outgoing", outgoing)
    await until_served(server)
    await server.stop(0.1)


async def the_sweep_of_a_connection(faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(h2, "SWEEP_SECONDS", 0.01)
    server = await served(faults, lambda raw: raw)
    connection = H2Connection
    patch.setattr(connection, "_sweep", boom_once_bound(swept := Counter(connection._sweep)))
    async with grpc.aio.insecure_channel(server.bound_address) as channel:
        check = channel.unary_unary(CHECK_METHOD)
        with contextlib.suppress(grpc.aio.AioRpcError):
            await check(b"x", timeout=10)
        await until(lambda: faults)
        answered = False
        async with asyncio.timeout(20):
            while not answered:  # the channel may not have seen yet that its connection is gone
                with contextlib.suppress(grpc.aio.AioRpcError):
                    answered = bool(await check(b"x", timeout=10, wait_for_ready=True))
        await until(lambda: swept.calls)
    await server.stop(0.1)


class Counter:
    """Counts the calls of a method."""

    def __init__(self, method: Any) -> None:
        self._method = method
        self.calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self._method(*arguments)


def boom_once_bound(real: Any) -> Any:
    """As ``boom_once``, for a method that is patched into a class."""
    once = boom_once(real)

    def method(self: Any, *arguments: Any) -> Any:
        return once(self, *arguments)

    return method


async def until_served(server: H2Server) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                assert await h2_call(server.bound_address, b"x") == b"x"
                return


async def a_call_under_grpcio(faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    handlers = check_handlers(boom_once(lambda raw: raw), faults.append)
    server = GrpcServer("127.0.0.1:0", CHECK_SERVICE, handlers, max_message_bytes=8192)
    await server.start()
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await h2_call(server.bound_address, b"bad")
    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert await h2_call(server.bound_address, b"good") == b"good"
    await server.stop(0)


async def a_callback_of_the_loop(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    asyncio.get_running_loop().call_soon(boom)
    await asyncio.sleep(0.01)


async def a_task_that_nobody_awaits(faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    life = AppContext(parse_config(CONFIG, "test"))
    life.on_fault = faults.append  # type: ignore[assignment]

    async def run() -> None:
        boom()

    life.run_soon(run())
    await until(lambda: faults)


async def a_listener_of_readiness(faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    life = AppContext(parse_config(CONFIG, "test"))
    life.health.on_fault = faults.append
    seen: list[bool] = []
    life.health._listeners.append(boom)
    life.health.on_change(seen.append)
    life.health.set_unhealthy("part", "why")
    assert seen == [True, False]


async def a_source_of_metrics(faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    life = AppContext(parse_config(CONFIG, "test"))
    life.metrics.on_fault = faults.append
    life.metrics.add_source(boom)
    text = await life.metrics.render_fresh()
    assert b"septem_internal_faults_total" in text
    assert b"septem_build_info" in text


async def what_brings_metrics_up_to_date(
    faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    life = AppContext(parse_config(CONFIG, "test"))
    life.metrics.on_fault = faults.append
    life.metrics.add_refresh(boom)
    assert b"septem_internal_faults_total" in await life.metrics.render_fresh()


async def a_blocking_call(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    bridge = BlockingRunner("test", 1)
    with pytest.raises(BoomError):
        await bridge.run(boom, 5)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await bridge.run(lambda: next(iter(())), 5)
    assert await bridge.run(lambda: 1, 5) == 1


async def the_read_of_challenges(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    kv = MemoryKv()
    now = [0.0]
    solver = make_solver(kv, clock=lambda: now[0])
    one = challenge()
    await make_solver(kv).publish([one])
    real, kv.read_kv_latest = kv.read_kv_latest, boom  # type: ignore[method-assign]
    reader = asyncio.create_task(solver.run())
    assert await ask(solver, one.token) is None
    assert solver.status.outcomes == {UNEXPECTED: 1}
    kv.read_kv_latest = real  # type: ignore[method-assign]
    now[0] += 10
    assert await ask(solver, one.token) == one
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    assert await ask(solver, "x" * 40) is None, "nobody waits for a reader that has ended"


async def a_question_to_the_domain_registry(
    _faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    world = World()
    world.registry.slow = True
    real = world.registry.resolve
    world.registry.resolve = boom_once(real)  # type: ignore[method-assign]
    world.register("shop.example")
    assert world.ask("shop.example") == "..."
    await until(lambda: "shop.example" in world.notified)
    assert world.failed == ["registry"]
    world.now += 1000
    assert await world.get("shop.example") == "1"


async def an_order(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    world = World()
    world.ca.obtain = boom_once(world.ca.obtain)  # type: ignore[method-assign]
    world.register("shop.example")
    assert world.ask("shop.example") == "..."
    await until(lambda: "shop.example" in world.notified)
    assert world.failed == ["order_failed"]
    world.now += 10_000
    assert await world.get("shop.example") == "1"


async def whoever_hears_of_a_name(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    world = World()
    world.on_demand._observers._callbacks.clear()
    world.on_demand.watch(boom_once())
    world.on_demand.watch(world.notified.append)
    world.register("shop.example")
    assert world.ask("shop.example") == "..."
    await until(lambda: world.notified)
    assert world.ask("shop.example") == "1"


async def whoever_hears_of_a_certificate(
    _faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    store = CertificateStore(lambda: 0.0)
    told: list[str] = []
    store.watch(boom)
    store.watch(told.append)
    store.put("a.example", material("1", "a.example"))
    assert told == ["a.example"]


async def the_look_for_a_tls_challenge(
    _faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch
) -> None:
    kv = MemoryKv()
    solver = make_solver(kv)
    real = solver.find_host
    solver.find_host = boom_once(real)  # type: ignore[method-assign]
    source = ChallengeCertificates(solver, now=lambda: NOW, clock=monotonic_seconds)
    told: list[str] = []
    source.watch(told.append)
    source.lookup("a.example", waits=True)
    await until(lambda: told)
    reader = asyncio.create_task(solver.run())
    one = challenge()._replace(kind=TLS_ALPN, until=2e9)
    await make_solver(kv).publish([one])
    source.lookup("a.example", waits=True)
    await until(lambda: len(told) == 2)
    assert isinstance(source._made["a.example"][0], Challenge)
    reader.cancel()
    await source.close()


async def a_probe(_faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch) -> None:
    held = Ca("platform").material(dns_names=["a.example"])
    chain = tuple(x509.load_pem_x509_certificates(held.chain_pem))

    async def look(*_: object) -> ServedChain:
        return ServedChain(chain)

    once = boom_once(look)
    patch.setattr(probe_module, "look", lambda *given, **_named: once(*given))
    store = CertificateStore(lambda: 0.0)
    settings = Probe(address="127.0.0.1:1", every_seconds=1.0)
    prober = Prober(
        {"edge": Target(settings, "a.example")}, store,
        clock=monotonic_seconds, now=wall_seconds, sleep=asyncio.sleep, on_change=lambda *_: None,
    )  # fmt: skip
    running = asyncio.create_task(prober.run())
    store.put("edge", held)
    await asyncio.sleep(0.05)
    store.announce("edge")
    await until(lambda: prober.outcomes["match"])
    assert prober.status.outcomes[UNEXPECTED] == 1
    running.cancel()


async def the_read_of_a_crl(_faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch) -> None:
    settings = model.VaultPkiIssuer(name="internal", role="edge", crl_poll_seconds=30)
    watch = RevocationWatch(
        settings,
        None,  # type: ignore[arg-type]
        sleep=lambda _: asyncio.sleep(0),
        jitter=lambda: 0.0,
    )
    reads = Counter(lambda _manager: None)
    patch.setattr(watch, "compare", boom_once(reads))
    patch.setattr(watch, "refresh", lambda: asyncio.sleep(0))
    manager = CertificateManager(
        [], CertificateStore(lambda: 0.0), now=lambda: 0.0, sleep=asyncio.sleep, jitter=lambda: 0.0
    )
    running = asyncio.create_task(watch.run(manager))
    await until(lambda: reads.calls)
    running.cancel()


async def the_timer_of_names_on_demand(
    _faults: Faults, _tmp: Path, patch: pytest.MonkeyPatch
) -> None:
    patch.setattr(on_demand_component, "TICK_SECONDS", 0.01)
    room = on_demand_component.OnDemandComponent.__new__(on_demand_component.OnDemandComponent)
    room._sweeping = PollStatus("on_demand", "names on demand", logging.getLogger("test"))
    sweeps = Counter(lambda: None)
    patch.setattr(room, "_sweep", boom_once(sweeps))
    ticking = asyncio.create_task(room._tick())
    await until(lambda: sweeps.calls)
    assert room._sweeping.outcomes[UNEXPECTED] == 1
    ticking.cancel()


async def a_connection_to_the_guard(_faults: Faults, tmp: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard_module, "read_peer", boom_once(read_peer))
    guarded = Guarded(tmp, make_rule((), ()))
    await guarded.start()
    for wanted in (b"", b"x"):
        reader, writer = await asyncio.open_unix_connection(str(guarded.path))
        with contextlib.suppress(ConnectionError):
            writer.write(b"x")
            async with asyncio.timeout(10):
                assert await reader.read(1) == wanted
        writer.close()
    await guarded.stop()


async def the_delivery_of_an_alert(_faults: Faults, tmp: Path, patch: pytest.MonkeyPatch) -> None:
    secret = tmp / "secret"
    secret.write_text("0123456789abcdef")
    alerts = Alerts(lambda: NOW, with_webhook=True)
    settings = model.WebhookSettings(url="https://127.0.0.1:1/", secret_file=str(secret))
    webhook = Webhook(settings, alerts, now=lambda: NOW, sleep=asyncio.sleep, jitter=lambda: 0.0)
    delivered: list[str] = []

    async def deliver(event: Mapping[str, Any]) -> bool:
        await asyncio.sleep(0)
        delivered.append(event["subject"])
        return True

    patch.setattr(webhook, "_deliver", boom_once(deliver))
    running = asyncio.create_task(webhook.run())
    for subject in ("first", "second"):
        alerts.say(Alert(Severity.INFO, subject, "state", "message"))
    await until(lambda: delivered == ["second"])
    assert alerts.dropped == 1
    running.cancel()


async def a_frame_in_the_channel(_faults: Faults, _tmp: Path, _patch: pytest.MonkeyPatch) -> None:
    closed: list[Exception | None] = []
    taken: list[object] = []

    def take(frame: object) -> None:
        taken.append(frame)
        boom()

    channel = Channel(FrameReader(FromWorker, MAX_FROM_WORKER_BYTES), take, closed.append)
    channel.data_received(encode(UnknownKid()) + encode(Applied(1)))
    channel.data_received(encode(UnknownKid()))
    channel.connection_lost(None)
    assert len(taken) == 1, "of a channel with a defect nothing more is used"
    assert isinstance(closed[0], BoomError)


Case = Callable[[Faults, Path, pytest.MonkeyPatch], Awaitable[None]]
CASES: list[tuple[Case, int]] = [
    (a_call_in_the_slow_lane, 1),
    (a_record_of_a_decision, 1),
    (whoever_hears_of_unknown_keys, 1),
    (the_search_for_a_challenge, 1),
    (the_search_for_a_challenge_at_once, 1),
    (a_handler, 1),
    (the_answer_of_a_handler_that_took_its_time, 1),
    (what_is_read_from_a_connection, 1),
    (what_is_written_to_a_connection, 1),
    (the_sweep_of_a_connection, 1),
    (a_call_under_grpcio, 1),
    (a_callback_of_the_loop, 1),
    (a_task_that_nobody_awaits, 1),
    (a_listener_of_readiness, 1),
    (a_source_of_metrics, 1),
    (what_brings_metrics_up_to_date, 1),
    (a_blocking_call, 0),  # its caller has it
    (the_read_of_challenges, 0),  # its poll counts it
    (a_question_to_the_domain_registry, 1),
    (an_order, 1),
    (whoever_hears_of_a_name, 1),
    (whoever_hears_of_a_certificate, 1),
    (the_look_for_a_tls_challenge, 1),
    (a_probe, 0),  # its poll counts it
    (the_read_of_a_crl, 1),
    (the_timer_of_names_on_demand, 0),  # its poll counts it
    (a_connection_to_the_guard, 1),
    (the_delivery_of_an_alert, 1),
    (a_frame_in_the_channel, 0),  # whoever closes the channel has it
]


@pytest.mark.parametrize(("case", "count"), CASES, ids=lambda case: getattr(case, "__name__", ""))
async def test_an_exception_stops_nothing_and_is_counted(
    case: Case, count: int, faults: Faults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await case(faults, tmp_path, monkeypatch)
    await asyncio.sleep(0)
    assert [type(each) for each in faults] == [BoomError] * count


def fail(exc: BaseException) -> None:
    raise exc


def test_only_what_is_a_defect_is_reported() -> None:
    """The end of a task and of the process go through the same edge."""
    got: list[Exception] = []
    for exc in (asyncio.CancelledError(), KeyboardInterrupt(), SystemExit()):
        with pytest.raises(type(exc)), reported(got.append):
            fail(exc)
    assert got == []
    defect = ValueError("a defect")
    with reported(got.append):
        fail(defect)
    assert got == [defect]


def test_a_kind_of_defect_is_counted_each_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now, count = [0.0], [0]

    def add() -> None:
        count[0] += 1

    report = FaultReporter(add, lambda: now[0], logging.getLogger("test"))
    kinds: list[Callable[[], object]] = [boom, lambda: dict[str, int]()["x"], lambda: 1 / 0]
    for _ in range(100):
        for kind in kinds:
            try:
                kind()
            except (BoomError, KeyError, ZeroDivisionError) as exc:
                report(exc)
    report(BoomError())  # raised nowhere
    assert count[0] == 301
    assert [record.getMessage() for record in caplog.records] == [
        "internal error (a bug in the sidecar)"
    ] * 4
    now[0] = REPEAT_SECONDS
    try:
        boom()
    except BoomError as exc:
        report(exc)
    assert caplog.records[-1].getMessage() == f"{LOGGED} (99 more of this kind before)"


@pytest.mark.parametrize("exc", [ConnectionResetError(), TimeoutError(110, "x"), OSError(24, "x")])
async def test_what_is_said_of_a_socket_is_no_defect(faults: Faults, exc: OSError) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "gone", "exception": exc})
    assert faults == []
    report_to_loop(exc)
    assert faults == [exc]


async def test_forged_tokens_at_the_path_of_challenges_end_no_lane() -> None:
    """A look-up that can't be had at one moment and can at the next, while the lane is busy."""

    class Flickering:
        asked = 0

        def find(self, _token: str) -> Any:
            self.asked += 1
            return None if self.asked % 3 else asyncio.sleep(0)

    faults = Faults()
    lane = SlowLane(asyncio.get_running_loop())
    config = CONFIG.replace("routes:\n", "routes:" + ROUTE)
    service = make_service(Nobody(), faults, lane=lane, config=config)
    service.challenges = Flickering()
    forger = Issuer.generate()
    answers = []
    for number in range(60):
        bearer = f"Bearer {forger.mint(jti=str(number)).decode()}"
        raw = check_request(path=f"{CHALLENGES}{number:040}", headers={"authorization": bearer})
        answer = service.handle(raw)
        answers.append(answer if isinstance(answer, bytes) else asyncio.ensure_future(answer))
    done = [each if isinstance(each, bytes) else await each for each in answers]
    assert {read_answer(each).metadata["reason"] for each in done} == {Reason.SIGNATURE_INVALID}
    await asyncio.sleep(0)
    assert lane.free()
    assert faults == []
