"""The rules of xDS, one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.sds.subscription import (
    PENDING,
    DeltaRequest,
    DeltaSubscription,
    Nack,
    Pending,
    Resource,
    SotwRequest,
    SotwSubscription,
    SubscriptionFault,
)


class Store:
    """Resources by name; a version is set by hand."""

    def __init__(self, **versions: str | Pending) -> None:
        self.versions: dict[str, str | Pending] = versions

    def lookup(self, name: str) -> Resource | Pending | None:
        version = self.versions.get(name)
        if version is None or isinstance(version, Pending):
            return version
        return Resource(name, version, f"{name}@{version}".encode())


def sent(answer: object) -> list[str]:
    return [] if answer is None else [each.body.decode() for each in answer.resources]  # type: ignore[attr-defined]


class TestStateOfTheWorld:
    def test_what_is_asked_for_is_sent_once(self) -> None:
        store, subscription = Store(a="1", b="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a", "b")))
        first = subscription.answer(store.lookup)
        assert sent(first) == ["a@1", "b@1"]
        assert first is not None
        assert first.nonce == "1"
        assert subscription.answer(store.lookup) is None

    def test_an_acknowledgement_is_no_new_question(self) -> None:
        store, subscription = Store(a="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a",)))
        subscription.answer(store.lookup)
        assert subscription.receive(SotwRequest(("a",), nonce="1")) is None
        assert subscription.answer(store.lookup) is None

    def test_only_what_changed_is_sent_again(self) -> None:
        store, subscription = Store(a="1", b="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a", "b")))
        subscription.answer(store.lookup)
        store.versions["b"] = "2"
        assert sent(subscription.answer(store.lookup)) == ["b@2"]

    def test_a_refusal_is_noted_and_loops_not(self) -> None:
        store, subscription = Store(a="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a",)))
        subscription.answer(store.lookup)
        refusal = SotwRequest(("a",), nonce="1", error="KEY_VALUES_MISMATCH")
        assert subscription.receive(refusal) == Nack("1", "KEY_VALUES_MISMATCH")
        assert subscription.answer(store.lookup) is None
        store.versions["a"] = "2"
        assert sent(subscription.answer(store.lookup)) == ["a@2"]

    def test_a_refusal_may_change_the_names(self) -> None:
        store, subscription = Store(a="1", b="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a",)))
        subscription.answer(store.lookup)
        subscription.receive(SotwRequest(("a", "b"), nonce="1", error="bad"))
        assert sent(subscription.answer(store.lookup)) == ["b@1"]

    def test_a_stale_nonce_says_nothing(self) -> None:
        store, subscription = Store(a="1", b="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a",)))
        subscription.answer(store.lookup)
        store.versions["a"] = "2"
        subscription.answer(store.lookup)
        assert subscription.receive(SotwRequest(("b",), nonce="1", error="late")) is None
        assert subscription.names == ("a",)

    def test_a_reconnect_with_the_nonce_of_a_process_that_is_gone(self) -> None:
        store, subscription = Store(a="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a",), nonce="77"))
        assert sent(subscription.answer(store.lookup)) == ["a@1"]

    def test_names_come_and_go(self) -> None:
        store, subscription = Store(a="1", b="1"), SotwSubscription()
        subscription.receive(SotwRequest(("a", "b")))
        subscription.answer(store.lookup)
        subscription.receive(SotwRequest(("a",), nonce="1"))
        store.versions["b"] = "2"
        assert subscription.answer(store.lookup) is None
        subscription.receive(SotwRequest(("a", "b"), nonce="1"))
        assert sent(subscription.answer(store.lookup)) == ["b@2"]

    def test_what_does_not_exist_is_not_sent_until_it_does(self) -> None:
        store, subscription = Store(b=PENDING), SotwSubscription()
        subscription.receive(SotwRequest(("a", "b")))
        assert subscription.answer(store.lookup) is None
        store.versions.update(a="1", b="1")
        assert sent(subscription.answer(store.lookup)) == ["a@1", "b@1"]

    def test_a_name_asked_for_twice_is_one(self) -> None:
        subscription = SotwSubscription()
        subscription.receive(SotwRequest(("a", "a")))
        assert sent(subscription.answer(Store(a="1").lookup)) == ["a@1"]


class TestDelta:
    def test_what_is_asked_for_is_sent_once(self) -> None:
        store, subscription = Store(a="1"), DeltaSubscription()
        subscription.receive(DeltaRequest(subscribe=("a",)))
        assert sent(subscription.answer(store.lookup)) == ["a@1"]
        subscription.receive(DeltaRequest(nonce="1"))
        assert subscription.answer(store.lookup) is None

    def test_what_does_not_exist_is_removed_once_and_may_come_later(self) -> None:
        store, subscription = Store(), DeltaSubscription()
        subscription.receive(DeltaRequest(subscribe=("a",)))
        answer = subscription.answer(store.lookup)
        assert answer is not None
        assert (answer.removed, answer.resources) == (("a",), ())
        assert subscription.answer(store.lookup) is None
        store.versions["a"] = "1"
        assert sent(subscription.answer(store.lookup)) == ["a@1"]

    def test_a_name_asked_for_again_is_answered_again(self) -> None:
        store, subscription = Store(a="1"), DeltaSubscription()
        for name in ("a", "gone"):
            subscription.receive(DeltaRequest(subscribe=(name,)))
            assert subscription.answer(store.lookup) is not None
            subscription.receive(DeltaRequest(subscribe=(name,)))
            assert subscription.answer(store.lookup) is not None

    def test_pending_is_silence(self) -> None:
        store, subscription = Store(a=PENDING), DeltaSubscription()
        subscription.receive(DeltaRequest(subscribe=("a",)))
        assert subscription.answer(store.lookup) is None
        del store.versions["a"]
        answer = subscription.answer(store.lookup)
        assert answer is not None
        assert answer.removed == ("a",)

    def test_a_removal_is_told(self) -> None:
        store, subscription = Store(a="1"), DeltaSubscription()
        subscription.receive(DeltaRequest(subscribe=("a",)))
        subscription.answer(store.lookup)
        del store.versions["a"]
        answer = subscription.answer(store.lookup)
        assert answer is not None
        assert answer.removed == ("a",)

    def test_after_unsubscribing_nothing_is_told(self) -> None:
        store, subscription = Store(a="1"), DeltaSubscription()
        subscription.receive(DeltaRequest(subscribe=("a",)))
        subscription.answer(store.lookup)
        subscription.receive(DeltaRequest(unsubscribe=("a", "never")))
        store.versions["a"] = "2"
        assert subscription.answer(store.lookup) is None

    def test_a_reconnect_gets_only_what_it_lacks(self) -> None:
        store, subscription = Store(a="1", b="2"), DeltaSubscription()
        subscription.receive(
            DeltaRequest(subscribe=("a", "b"), initial_versions={"a": "1", "b": "1"})
        )
        assert sent(subscription.answer(store.lookup)) == ["b@2"]

    def test_only_a_current_refusal_counts(self) -> None:
        store, subscription = Store(a="1"), DeltaSubscription()
        subscription.receive(DeltaRequest(subscribe=("a",)))
        subscription.answer(store.lookup)
        assert subscription.receive(DeltaRequest(nonce="1", error="bad")) == Nack("1", "bad")
        assert subscription.answer(store.lookup) is None
        store.versions["a"] = "2"
        subscription.answer(store.lookup)
        assert subscription.receive(DeltaRequest(nonce="1", error="late")) is None


@pytest.mark.parametrize("names", [("x" * 513,), tuple(map(str, range(100_001)))])
def test_a_stream_is_bounded(names: tuple[str, ...]) -> None:
    with pytest.raises(SubscriptionFault):
        SotwSubscription().receive(SotwRequest(names))
    with pytest.raises(SubscriptionFault):
        DeltaSubscription().receive(DeltaRequest(subscribe=names))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.sampled_from("abc"), st.sampled_from("123")),
        st.tuples(st.just("drop"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("subscribe"), st.sampled_from("abc"), st.just("")),
        st.tuples(st.just("unsubscribe"), st.sampled_from("abc"), st.just("")),
    ),
    max_size=30,
)


@given(STEPS)
def test_a_delta_client_always_ends_up_with_the_stores_state(
    steps: list[tuple[str, str, str]],
) -> None:
    store, subscription = Store(), DeltaSubscription()
    held: dict[str, str] = {}
    wanted: set[str] = set()
    for step, name, version in steps:
        if step == "set":
            store.versions[name] = version
        elif step == "drop":
            store.versions.pop(name, None)
        elif step == "subscribe":
            wanted.add(name)
            subscription.receive(DeltaRequest(subscribe=(name,)))
        else:
            wanted.discard(name)
            held.pop(name, None)
            subscription.receive(DeltaRequest(unsubscribe=(name,)))
        answer = subscription.answer(store.lookup)
        if answer is not None:
            held.update((each.name, each.version) for each in answer.resources)
            for gone in answer.removed:
                held.pop(gone, None)
        assert held == {n: v for n, v in store.versions.items() if n in wanted}
