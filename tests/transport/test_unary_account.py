"""What a connection holds of unfinished messages: counted exactly, given back on each way out."""

import ngh2
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.transport.grpc_status import GrpcStatus
from sidecar.transport.limits import RECEIVE_SECONDS, BufferAccount, Limits
from tests.transport.test_unary import HEADERS, Wire, headers, message

HALF = message(b"a" * 9_000)[:8_000]
TIMEOUT = headers(grpc_timeout=b"100m")
MANY = Limits(max_message_bytes=600_000, max_concurrent_streams=64)


def half_sent(wire: Wire, fields: tuple[tuple[bytes, bytes], ...] = HEADERS) -> int:
    stream_id = wire.client.send_request(fields)
    wire.client.send_data(stream_id, HALF)
    wire.exchange()
    assert wire.server._buffered > 0
    return stream_id


def run_out(wire: Wire) -> None:
    half_sent(wire, TIMEOUT)
    wire.server.expire(0.2)


def never_arrive(wire: Wire) -> None:
    half_sent(wire)
    wire.server.expire(RECEIVE_SECONDS)


def never_arrive_with_a_long_timeout(wire: Wire) -> None:
    half_sent(wire, headers(grpc_timeout=b"99999999H"))
    wire.server.expire(RECEIVE_SECONDS)


def be_reset(wire: Wire) -> None:
    wire.client.reset_stream(half_sent(wire))


def be_too_long(wire: Wire) -> None:
    wire.client.send_data(half_sent(wire), b"a" * 4_000)


def end_short(wire: Wire) -> None:
    wire.client.send_data(half_sent(wire), b"a", end_stream=True)


def end_with_trailers(wire: Wire) -> None:
    wire.client.send_trailers(half_sent(wire), ((b"x-end", b"1"),))


def be_answered(wire: Wire) -> None:
    wire.client.send_data(half_sent(wire), b"a" * 1_005, end_stream=True)


def be_answered_never(wire: Wire) -> None:
    wire.answer_at_once = False
    be_answered(wire)


def lose_the_connection(wire: Wire) -> None:
    half_sent(wire)
    wire.server.close()


WAYS_OUT = [
    run_out, never_arrive, never_arrive_with_a_long_timeout, be_reset, be_too_long, end_short,
    end_with_trailers, be_answered, be_answered_never, lose_the_connection,
]  # fmt: skip


@pytest.mark.parametrize("way_out", WAYS_OUT, ids=lambda way: way.__name__)
def test_however_a_call_ends_its_buffer_is_released(way_out: object) -> None:
    wire = Wire()
    way_out(wire)  # type: ignore[operator]
    wire.exchange()
    assert wire.server._buffered == wire.server._shared.held_bytes == 0


def test_all_connections_together_hold_no_more_than_they_may() -> None:
    """However many connections there are, and what one gives back is another's."""
    shared = BufferAccount(max_bytes=20_000)
    wires = [Wire(shared=shared) for _ in range(4)]
    for wire in wires[:2]:
        half_sent(wire)
    assert shared.held_bytes == 2 * len(HALF)
    refused = wires[2].call(HALF[:9], HALF[9:] + b"a" * 1_005)
    assert refused.status == GrpcStatus.RESOURCE_EXHAUSTED
    assert refused.headers[b"grpc-message"].startswith(b"all connections")
    whole = message(b"in one piece")
    assert wires[3].call(whole).status == 0, "what comes whole is not held"
    wires[0].server.close()
    assert shared.held_bytes == len(HALF)
    assert wires[2].call(HALF[:9], HALF[9:] + b"a" * 1_005).status == 0
    for wire in wires[1:]:
        wire.server.close()
    assert shared.held_bytes == 0


def test_expired_half_sent_calls_release_memory_for_a_large_one() -> None:
    """As many as would fill the account thrice over, and then one of a size that needs it."""
    wire = Wire(MANY)
    for round_number in range(3):
        for _ in range(37):
            stream_id = wire.client.send_request(TIMEOUT)
            wire.client.send_data(stream_id, message(b"a" * 500_000)[:450_000])
            wire.exchange()
        wire.server.expire(1.0 + round_number)
        wire.exchange()
    assert wire.server._buffered == 0
    assert wire.call(message(b"a" * 300_000)[:9], message(b"a" * 300_000)[9:]).status == 0


def test_a_call_that_has_arrived_may_be_answered_as_late_as_its_client_waits() -> None:
    wire = Wire(answer_at_once=False)
    wire.call(message(b"abc")[:3], message(b"abc")[3:], fields=headers(grpc_timeout=b"2M"))
    wire.server.expire(RECEIVE_SECONDS + 1)
    wire.exchange()
    assert wire.server.open_calls == 1
    wire.server.expire(120.0)
    wire.exchange()
    assert wire.replies[1].status == GrpcStatus.DEADLINE_EXCEEDED


class Account(RuleBasedStateMachine):
    """Any sequence of what peers and handlers do; the model is what each open call was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.wire = Wire()
        self.now = 0.0
        self.sent: dict[int, int] = {}

    def pick(self, number: int) -> int:
        return sorted(self.sent)[number % len(self.sent)]

    @precondition(lambda self: len(self.sent) < 8)
    @rule(fields=st.sampled_from([HEADERS, TIMEOUT, headers(content_type=b"text/plain")]))
    def open(self, fields: tuple[tuple[bytes, bytes], ...]) -> None:
        self.sent[self.wire.client.send_request(fields)] = 0

    @precondition(lambda self: self.sent)
    @rule(
        number=st.integers(0, 7), size=st.integers(0, 9_000), end=st.booleans(), now=st.booleans()
    )
    def send(self, number: int, size: int, end: bool, now: bool) -> None:
        stream_id = self.pick(number)
        first = self.sent[stream_id] == 0
        piece = message(b"a" * 9_000)[:size] if first else b"a" * size
        try:
            self.wire.client.send_data(stream_id, piece, end_stream=end)
        except ngh2.NGH2Error:  # it was answered, and reset, meanwhile
            self.sent.pop(stream_id)
            return
        self.sent[stream_id] += size
        if end:
            self.sent.pop(stream_id)
        if now:
            self.wire.exchange()

    @precondition(lambda self: self.sent)
    @rule(number=st.integers(0, 7))
    def reset(self, number: int) -> None:
        stream_id = self.pick(number)
        self.sent.pop(stream_id)
        try:
            self.wire.client.reset_stream(stream_id)
        except ngh2.NGH2Error:
            return

    @rule(seconds=st.sampled_from([0.01, 0.2, RECEIVE_SECONDS]))
    def wait(self, seconds: float) -> None:
        self.now = self.wire.now = self.now + seconds
        self.wire.server.expire(self.now)

    @rule(at_once=st.booleans())
    def answer(self, at_once: bool) -> None:
        self.wire.answer_at_once = at_once
        for stream_id, _, _ in self.wire.asked:
            self.wire.server.respond(stream_id, b"late")
        self.wire.asked.clear()

    @rule()
    def exchange(self) -> None:
        self.wire.exchange()

    @invariant()
    def the_account_is_what_is_held(self) -> None:
        held = sum(len(call.body) for call in self.wire.server._calls.values())
        assert self.wire.server._buffered == held
        assert held <= 20_000 + 9_000

    def teardown(self) -> None:
        self.wire.exchange()
        for stream_id in self.sent:
            try:
                self.wire.client.reset_stream(stream_id)
            except ngh2.NGH2Error:
                continue
        self.wire.exchange()
        assert self.wire.server._buffered == 0


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
