"""Compares what was decided, or what an old configuration decides, with what a new one does."""

from typing import NamedTuple

from msgspec.structs import replace

from sidecar.authz.credential import HEADER_ONLY
from sidecar.authz.decision import Decision
from sidecar.authz.routes import Route
from sidecar.common.reasons import Reason
from sidecar.config import model
from sidecar.replay.causes import cause_of
from sidecar.replay.decider import Decider, Prediction
from sidecar.replay.evaluation import Then, UndecidableError
from sidecar.replay.line import RecordedLine
from sidecar.replay.verdict import (
    ReplayOutcome,
    ReplayVerdict,
    changed_headers,
    predicted_outcome,
    recorded_outcome,
    verdict_of,
)

_MAX_PAIRS = 16_384
_MAX_HEADERS = 6


class Comparison(NamedTuple):
    """What becomes of one request, and why."""

    verdict: ReplayVerdict
    before: ReplayOutcome
    after: ReplayOutcome
    cause: str
    """The setting that makes the difference; of an unknown one, what the line does not tell."""
    old: ReplayOutcome | None = None
    """What the old configuration decides, where one is given and the line tells."""


class Comparer:
    """Compares line by line, in the order of their time."""

    def __init__(self, new: model.Config, old: model.Config | None = None) -> None:
        """With ``old`` its decisions are compared and not those recorded."""
        self._old: Decider | None = None
        then: Then | None = None
        self._is_much_alike = False
        if old is not None:
            snapshot = Decider(old).snapshot
            routes = {route.name: route for route in snapshot.routes.routes}
            then = Then(routes, snapshot.headers)
            self._old = Decider(old, then)
        self.new = Decider(new)
        if self._old is not None and decides_tokens_alike(self._old, self.new):
            self.new = Decider(new, then)
            self._is_much_alike = _is_much_alike(self._old, self.new)
        self._pairs: dict[tuple[int, int], tuple[Prediction, Prediction, tuple[str, ...]]] = {}

    def compare(self, line: RecordedLine) -> Comparison:
        """Return what becomes of the request of one line."""
        after = self.new.predict(line)
        before, old = recorded_outcome(line), None
        if self._old is not None:
            predicted = self._old.predict(line)
            if predicted.access != "unknown":
                before = old = predicted_outcome(predicted)
            if after.access == "unknown" and self._is_same_route(self._old, line):
                return Comparison(ReplayVerdict.SAME, before, before, "", old)
            headers = self._changed_headers(self._old, predicted, after)
        else:
            headers = ()
        outcome = predicted_outcome(after)
        verdict = verdict_of(before, outcome)
        if verdict is ReplayVerdict.SAME:
            if not headers:
                return Comparison(verdict, before, outcome, "", old)
            return Comparison(ReplayVerdict.CHANGED, before, outcome, _listed(headers), old)
        if verdict is ReplayVerdict.UNKNOWN:
            return Comparison(verdict, before, outcome, "; ".join(after.open[:2]), old)
        cause = cause_of(before, after, line, self.new)
        return Comparison(verdict, before, outcome, cause, old)

    def _changed_headers(self, old: Decider, one: Prediction, two: Prediction) -> tuple[str, ...]:
        """Return the headers in which two answers differ, where both let pass, or both deny.

        A denial of a limit says how long to wait, which is each request's own.
        """
        before, after = one.decision, two.decision
        if before is None or after is None or one.access != two.access or one.open or two.open:
            return ()
        if Reason.RATE_LIMITED in {before.outcome, after.outcome}:
            return ()
        key = (id(one), id(two))
        pair = self._pairs.get(key)
        if pair is None:
            if len(self._pairs) >= _MAX_PAIRS:
                self._pairs.clear()
            found = changed_headers(_bare(before), old.snapshot, _bare(after), self.new.snapshot)
            # The predictions are kept with it, so that no other ones get their ids.
            pair = self._pairs[key] = (one, two, found)
        return pair[2]

    def _is_same_route(self, old: Decider, line: RecordedLine) -> bool:
        """Return whether both configurations do the same with a request, whatever it has."""
        if not self._is_much_alike or not line.path:
            return False
        try:
            one, two = old.target_of(line), self.new.target_of(line)
        except UndecidableError:
            return False
        if not isinstance(one, Route) or not isinstance(two, Route):
            return str(one) == str(two)
        return replace(one, places=HEADER_ONLY) == replace(two, places=HEADER_ONLY)


def decides_tokens_alike(old: Decider, new: Decider) -> bool:
    """Return whether a token that passes one configuration's rules passes the other's."""
    one, two = old.snapshot, new.snapshot
    return (
        one.tokens == two.tokens
        and (one.pii_names, one.pii_values, one.dpop) == (two.pii_names, two.pii_values, two.dpop)
        and old.config.keys.denied_kids == new.config.keys.denied_kids
        and _sources(old.config) == _sources(new.config)
    )


def _sources(config: model.Config) -> tuple[object, ...]:
    issuers = tuple((each.issuer, each.keys) for each in config.tokens.issuers)
    return issuers, config.keys.revocations


def _is_much_alike(old: Decider, new: Decider) -> bool:
    """Return whether both configurations decide equal routes alike, tokens aside."""
    one, two = old.config, new.config
    return (
        old.snapshot.headers.domain_owners == new.snapshot.headers.domain_owners
        and _places(old) == _places(new)
        and (one.limits, one.on_demand, one.modules, one.headers.cors, one.keys.when_degraded)
        == (two.limits, two.on_demand, two.modules, two.headers.cors, two.keys.when_degraded)
        and [each.limit for each in one.tenants] == [each.limit for each in two.tenants]
    )


def _places(decider: Decider) -> set[str]:
    return {place for route in decider.snapshot.routes.routes for place in route.token_from}


def _bare(decision: Decision) -> Decision:
    """Return a decision without what is each request's own, and what only a forged line has."""
    token = decision.token
    if token is not None:
        claims = token.claims
        tenant_id = claims.tenant_id if claims.tenant_id.isascii() else ""
        shown = replace(
            claims,
            subject="-",
            tenant_id=tenant_id,
            roles=("-",) * bool(claims.roles),
        )
        token = replace(token, claims=shown)
    return replace(decision, token=token, fields=(), stream_milliseconds=0)


def _listed(headers: tuple[str, ...]) -> str:
    shown = ", ".join(headers[:_MAX_HEADERS])
    more = len(headers) - _MAX_HEADERS
    return f"headers: {shown}" + (f" and {more} more" if more > 0 else "")
