"""The rules of xDS, one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.sds.subscription import (
    MAX_REMOVED,
    PENDING,
    DeltaAnswer,
    DeltaRequest,
    DeltaSubscription,
    Nack,
    Pending,
    Resource,
    SotwAnswer,
    SotwRequest,
    SotwSubscription,
    SubscriptionFault,
)


class Stream:
    """A subscription and the table it is answered from."""

    def __init__(
        self, subscription: SotwSubscription | DeltaSubscription, **versions: str | Pending
    ) -> None:
        self.subscription = subscription
        self.versions: dict[str, str | Pending] = versions
        self.lookups: list[str] = []
        self.waiting: list[str] = []

    def lookup(self, name: str, waits: bool) -> Resource | Pending | None:
        self.lookups.append(name)
        if waits:
            self.waiting.append(name)
        version = self.versions.get(name)
        if version is None or isinstance(version, Pending):
            return version
        return Resource(name, version, f"{name}@{version}".encode())

    def set(self, name: str, version: str | Pending) -> bool:
        self.versions[name] = version
        return self.subscription.mark(name)

    def drop(self, name: str) -> bool:
        self.versions.pop(name, None)
        return self.subscription.mark(name)

    def answers(self) -> list[SotwAnswer | DeltaAnswer]:
        found: list[SotwAnswer | DeltaAnswer] = []
        while (answer := self.subscription.answer(self.lookup)) is not None:
            found.append(answer)
        return found

    def sent(self) -> list[str]:
        return [each.body.decode() for answer in self.answers() for each in answer.resources]


class Sotw(Stream):
    def __init__(self, **versions: str | Pending) -> None:
        super().__init__(SotwSubscription(), **versions)

    def receive(self, *names: str, nonce: str = "", error: str | None = None) -> Nack | None:
        assert isinstance(self.subscription, SotwSubscription)
        return self.subscription.receive(SotwRequest(names, nonce, error))


class Delta(Stream):
    def __init__(self, **versions: str | Pending) -> None:
        super().__init__(DeltaSubscription(), **versions)

    def receive(
        self, *subscribe: str, without: tuple[str, ...] = (), holds: dict[str, str] | None = None,
        nonce: str = "", error: str | None = None,
    ) -> Nack | None:  # fmt: skip
        assert isinstance(self.subscription, DeltaSubscription)
        return self.subscription.receive(
            DeltaRequest(subscribe, without, holds or {}, nonce, error)
        )

    def evict(self, name: str) -> bool:
        assert isinstance(self.subscription, DeltaSubscription)
        return self.subscription.evict(name)

    def removed(self) -> list[str]:
        answers = self.answers()
        assert all(isinstance(each, DeltaAnswer) and not each.resources for each in answers)
        return [name for each in answers if isinstance(each, DeltaAnswer) for name in each.removed]


class TestBoth:
    """What both variants have in common."""

    @pytest.fixture(params=[Sotw, Delta])
    def stream(self, request: pytest.FixtureRequest) -> Sotw | Delta:
        made: Sotw | Delta = request.param(a="1", b="1")
        return made

    def test_what_is_asked_for_is_sent_once(self, stream: Sotw | Delta) -> None:
        stream.receive("a", "b")
        assert stream.sent() == ["a@1", "b@1"]
        assert stream.sent() == []

    def test_each_resource_has_an_answer_and_a_nonce_of_its_own(self, stream: Sotw | Delta) -> None:
        stream.receive("a", "b")
        answers = stream.answers()
        assert [len(answer.resources) for answer in answers] == [1, 1]
        assert len({answer.nonce for answer in answers}) == 2

    def test_only_what_changed_is_sent_again(self, stream: Sotw | Delta) -> None:
        stream.receive("a", "b")
        stream.sent()
        assert stream.set("b", "2")
        stream.lookups.clear()
        assert stream.sent() == ["b@2"]
        assert stream.lookups == ["b"], "the others are not even looked at"

    def test_changed_twice_and_read_once_is_sent_once(self, stream: Sotw | Delta) -> None:
        stream.receive("a")
        stream.sent()
        stream.set("a", "2")
        stream.set("a", "3")
        assert stream.sent() == ["a@3"]

    def test_a_change_to_the_same_version_is_none(self, stream: Sotw | Delta) -> None:
        stream.receive("a")
        stream.sent()
        stream.set("a", "1")
        assert stream.sent() == []

    def test_a_name_without_a_subscription_is_not_sent(self, stream: Sotw | Delta) -> None:
        stream.receive("a")
        stream.sent()
        assert not stream.set("b", "2")
        assert stream.sent() == []

    def test_there_is_no_wildcard(self, stream: Sotw | Delta) -> None:
        for names in ((), ("*",)):
            stream.receive(*names)
            assert stream.sent() == []

    def test_a_refusal_is_noted_with_its_name_and_loops_not(self, stream: Sotw | Delta) -> None:
        stream.receive("a", "b")
        first, second = stream.answers()
        assert second.resources[0].name == "b"
        names = ("a", "b") if isinstance(stream, Sotw) else ()
        assert stream.receive(*names, nonce=second.nonce, error="BAD") == Nack("b", "BAD")
        assert stream.sent() == []
        stream.set("b", "2")
        assert stream.sent() == ["b@2"]
        assert first.nonce != second.nonce

    def test_a_refusal_of_an_earlier_answer_is_noted_too(self, stream: Sotw | Delta) -> None:
        stream.receive("a", "b")
        first, _ = stream.answers()
        assert stream.receive("a", nonce=first.nonce, error="BAD") == Nack("a", "BAD")
        assert stream.receive("a", nonce=first.nonce, error="BAD") is None, "once"

    def test_a_refusal_of_what_was_never_sent_is_none(self, stream: Sotw | Delta) -> None:
        assert stream.receive("a", nonce="77", error="BAD") is None
        assert stream.sent() == ["a@1"]

    def test_a_client_that_acknowledges_nothing_costs_little(self, stream: Sotw | Delta) -> None:
        stream.receive("a")
        for version in range(1000):
            stream.set("a", str(version))
            stream.sent()
        assert len(stream.subscription._answers._open) <= 66

    def test_what_is_being_obtained_is_silence_until_it_is_there(
        self, stream: Sotw | Delta
    ) -> None:
        stream.versions["a"] = PENDING
        stream.receive("a")
        assert stream.answers() == []
        stream.set("a", "1")
        assert stream.sent() == ["a@1"]

    @pytest.mark.parametrize("names", [("x" * 513,), tuple(map(str, range(100_001)))])
    def test_a_stream_is_bounded(self, stream: Sotw | Delta, names: tuple[str, ...]) -> None:
        with pytest.raises(SubscriptionFault):
            stream.receive(*names)


class TestStateOfTheWorld:
    def test_the_version_is_the_resources(self) -> None:
        stream = Sotw(a="7")
        stream.receive("a")
        (answer,) = stream.answers()
        assert isinstance(answer, SotwAnswer)
        assert (answer.version, answer.nonce) == ("7", "1")

    def test_an_acknowledgement_is_no_new_question(self) -> None:
        stream = Sotw(a="1")
        stream.receive("a")
        stream.sent()
        assert stream.receive("a", nonce="1") is None
        assert stream.sent() == []

    def test_a_refusal_may_change_the_names(self) -> None:
        stream = Sotw(a="1", b="1")
        stream.receive("a")
        stream.sent()
        assert stream.receive("a", "b", nonce="1", error="BAD") == Nack("a", "BAD")
        assert stream.sent() == ["b@1"]

    def test_the_names_of_a_stale_request_say_nothing(self) -> None:
        stream = Sotw(a="1", b="1")
        stream.receive("a")
        stream.sent()
        stream.set("a", "2")
        stream.sent()
        assert stream.receive("b", nonce="1") is None
        assert list(stream.subscription.names) == ["a"]
        stream.receive("a", "b", nonce="2")
        assert stream.sent() == ["b@1"]

    def test_a_reconnect_with_the_nonce_of_a_process_that_is_gone(self) -> None:
        stream = Sotw(a="1")
        stream.receive("a", nonce="77")
        assert stream.sent() == ["a@1"]

    def test_names_come_and_go(self) -> None:
        stream = Sotw(a="1", b="1")
        stream.receive("a", "b")
        stream.sent()
        stream.receive("a", nonce="2")
        assert not stream.set("b", "2")
        stream.receive("a", "b", nonce="2")
        assert stream.sent() == ["b@2"]

    def test_a_name_that_comes_back_is_sent_again(self) -> None:
        stream = Sotw(a="1")
        stream.receive("a")
        stream.sent()
        stream.receive(nonce="1")
        stream.receive("a", nonce="1")
        assert stream.sent() == ["a@1"]

    def test_a_name_that_left_before_its_answer_is_not_answered(self) -> None:
        stream = Sotw(a="1", b="1")
        stream.receive("a", "b")
        stream.receive("b")
        assert stream.sent() == ["b@1"]

    def test_what_does_not_exist_is_not_sent_until_it_does(self) -> None:
        stream = Sotw()
        stream.receive("a")
        assert stream.answers() == []
        stream.set("a", "1")
        assert stream.sent() == ["a@1"]

    def test_a_removal_is_not_sent_and_the_next_version_is(self) -> None:
        stream = Sotw(a="1")
        stream.receive("a")
        stream.sent()
        stream.drop("a")
        assert stream.answers() == []
        stream.set("a", "2")
        assert stream.sent() == ["a@2"]

    def test_a_name_asked_for_twice_is_one(self) -> None:
        stream = Sotw(a="1")
        stream.receive("a", "a")
        assert stream.sent() == ["a@1"]


class TestDelta:
    def test_what_does_not_exist_is_removed_once_and_may_come_later(self) -> None:
        stream = Delta()
        stream.receive("a")
        assert stream.removed() == ["a"]
        stream.drop("a")
        assert stream.answers() == []
        stream.set("a", "1")
        assert stream.sent() == ["a@1"]

    def test_a_name_asked_for_again_is_answered_again(self) -> None:
        stream = Delta(a="1")
        for name in ("a", "gone"):
            for _ in range(2):
                stream.receive(name)
                assert len(stream.answers()) == 1

    def test_a_removal_is_sent(self) -> None:
        stream = Delta(a="1")
        stream.receive("a")
        stream.sent()
        stream.drop("a")
        assert stream.removed() == ["a"]

    def test_what_was_being_obtained_and_is_refused_is_removed(self) -> None:
        stream = Delta(a=PENDING)
        stream.receive("a")
        assert stream.answers() == []
        stream.drop("a")
        assert stream.removed() == ["a"]

    def test_removals_are_sent_together_but_with_no_resource(self) -> None:
        stream = Delta(b="1")
        stream.receive("a", "b", "c")
        kinds = [
            (answer.removed, [each.name for each in answer.resources])
            for answer in stream.answers()
            if isinstance(answer, DeltaAnswer)
        ]
        assert kinds == [(("a",), []), (("c",), []), ((), ["b"])]

    def test_an_answer_has_a_bounded_number_of_removals(self) -> None:
        stream = Delta()
        stream.receive(*map(str, range(MAX_REMOVED + 1)))
        sizes = [len(each.removed) for each in stream.answers() if isinstance(each, DeltaAnswer)]
        assert sizes == [MAX_REMOVED, 1]

    def test_after_unsubscribing_nothing_is_sent(self) -> None:
        stream = Delta(a="1")
        stream.receive("a")
        stream.sent()
        stream.receive(without=("a", "never"))
        assert not stream.set("a", "2")
        assert stream.answers() == []

    def test_a_reconnect_gets_only_what_it_lacks(self) -> None:
        stream = Delta(a="1", b="2")
        stream.receive("a", "b", "c", holds={"a": "1", "b": "1", "c": "1"})
        answers = stream.answers()
        assert [each.name for answer in answers for each in answer.resources] == ["b"]
        assert [n for each in answers if isinstance(each, DeltaAnswer) for n in each.removed] == [
            "c"
        ]

    def test_only_a_streams_first_request_says_what_is_held(self) -> None:
        stream = Delta(a="1", b="1")
        stream.receive("a")
        stream.sent()
        stream.receive("b", holds={"b": "1"})
        assert stream.sent() == ["b@1"]

    def test_names_count_whatever_the_nonce(self) -> None:
        stream = Delta(a="1", b="1")
        stream.receive("a")
        stream.sent()
        stream.receive("b", nonce="unheard of")
        assert stream.sent() == ["b@1"]

    def test_an_evicted_name_is_removed_and_sent_again_when_asked_for(self) -> None:
        stream = Delta(a="1", b="1")
        stream.receive("a", "b")
        stream.sent()
        assert stream.evict("a")
        assert stream.removed() == ["a"]
        stream.set("a", "2")
        assert stream.sent() == ["a@2"], "to a client that stays subscribed, as its next version"
        assert stream.evict("a")
        assert stream.removed() == ["a"]
        stream.receive(without=("a",))
        stream.receive("a")
        assert stream.sent() == ["a@2"]

    def test_only_names_that_a_client_holds_are_evicted(self) -> None:
        stream = Delta(a="1")
        assert not stream.evict("a"), "not subscribed to"
        stream.receive("a", "gone")
        assert not stream.evict("a"), "not sent yet"
        stream.answers()
        assert not stream.evict("gone"), "known to be absent"
        stream.receive(without=("a",))
        assert not stream.evict("a")
        assert stream.answers() == []

    def test_a_client_that_asks_again_before_the_removal_keeps_the_name(self) -> None:
        stream = Delta(a="1")
        stream.receive("a")
        stream.sent()
        stream.evict("a")
        stream.receive("a")
        assert stream.sent() == ["a@1"]
        stream.evict("a")
        stream.receive(without=("a",))
        assert stream.answers() == []

    def test_only_who_holds_nothing_waits(self) -> None:
        stream = Delta(a="1", b="1", new="1")
        stream.receive("a", "b", "new", "none", holds={"a": "1", "b": "0"})
        stream.answers()
        assert stream.waiting == ["new", "none"]
        stream.waiting.clear()
        stream.set("a", "2")
        stream.set("new", "2")
        stream.answers()
        assert stream.waiting == []
        stream.receive("none")
        stream.answers()
        assert stream.waiting == ["none"], "asked for anew"

    def test_asking_again_for_all_is_within_the_bound(self) -> None:
        names = tuple(map(str, range(60_000)))
        stream = Delta()
        stream.receive(*names)
        stream.receive(*names)
        assert len(stream.subscription.names) == 60_000


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abc"), st.sampled_from("123")),
        st.tuples(st.just("drop"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("subscribe"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("unsubscribe"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("take back"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("read"), st.just(""), st.just("")),
    ),
    max_size=40,
)


@settings(deadline=None)  # a busy machine is no defect
@given(STEPS)
def test_a_delta_client_that_reads_always_has_the_tables_state(
    steps: list[tuple[str, str, str]],
) -> None:
    stream = Delta()
    held: dict[str, str] = {}
    wanted: set[str] = set()
    taken: set[str] = set()
    for step, name, version in [*steps, ("read", "", "")]:
        if step == "set":
            stream.set(name, version)
        elif step == "drop":
            stream.drop(name)
        elif step == "take back":
            if stream.evict(name):
                taken.add(name)
        elif step == "subscribe":
            wanted.add(name)
            taken.discard(name)
            stream.receive(name)
        elif step == "unsubscribe":
            wanted.discard(name)
            taken.discard(name)
            held.pop(name, None)
            stream.receive(without=(name,))
        else:
            for answer in stream.answers():
                assert isinstance(answer, DeltaAnswer)
                held.update((each.name, each.version) for each in answer.resources)
                for gone in answer.removed:
                    held.pop(gone, None)
            there = {n: v for n, v in stream.versions.items() if n in wanted}
            assert {n: v for n, v in held.items() if n not in taken} == {
                n: v for n, v in there.items() if n not in taken
            }
            assert held.items() <= there.items()


@settings(deadline=None)  # a busy machine is no defect
@given(STEPS)
def test_a_state_of_the_world_client_that_reads_has_what_exists(
    steps: list[tuple[str, str, str]],
) -> None:
    stream = Sotw()
    held: dict[str, str] = {}
    wanted: dict[str, None] = {}
    nonce = ""
    for step, name, version in [*steps, ("read", "", "")]:
        if step == "set":
            stream.set(name, version)
        elif step == "drop":
            stream.drop(name)
        elif step == "subscribe":
            wanted[name] = None
            stream.receive(*wanted, nonce=nonce)
        elif step == "unsubscribe":
            wanted.pop(name, None)
            held.pop(name, None)
            stream.receive(*wanted, nonce=nonce)
        else:
            for answer in stream.answers():
                nonce = answer.nonce
                held.update((each.name, each.version) for each in answer.resources)
            there = {n: v for n, v in stream.versions.items() if n in wanted}
            assert {n: v for n, v in held.items() if n in there} == there
