"""Decides recorded lines by one configuration, with the server's code.

A log repeats itself: the same caller asks the same route again and again. So two tables are kept,
of targets and of decisions; a decision that depends on the time is kept with the times between
which it holds. Both are bounded, and emptied when they are full.
"""

from typing import Literal, NamedTuple

import msgspec

from sidecar.authz.decision import Decision, Snapshot
from sidecar.authz.evaluate import NO_ROUTE
from sidecar.authz.method import is_method
from sidecar.authz.routes import UNMATCHED, Route
from sidecar.authz.snapshot import build_snapshot
from sidecar.authz.traces import status_of
from sidecar.common.canonical import canonical_host, canonical_path
from sidecar.common.errors import Denied
from sidecar.common.reasons import Grant, Reason
from sidecar.config import model
from sidecar.replay.evaluation import RecordedEvaluation, Then, UndecidableError, World
from sidecar.replay.known import Known, known_of
from sidecar.replay.limits import RecordedLimits
from sidecar.replay.line import ALLOW, RecordedLine
from sidecar.replay.tokens import RecordedTokens, claims_of, ring_of_then
from sidecar.tokens.claims import validity

MAX_KEPT = 65_536
Access = Literal["allow", "deny", "unknown"]
_DETAILED = frozenset(
    {Reason.TOKEN_MISSING, Reason.TOKEN_TOO_LARGE, Reason.PII_IN_TOKEN, Reason.RATE_LIMITED,
     Reason.TENANT_MISMATCH, Reason.TOKEN_SCHEME_UNSUPPORTED}
)  # fmt: skip
"""Reasons whose detail decides something: elsewhere two lines may differ in it."""
_MODULE = "a module's bundle is not recorded"
_CHALLENGE = "challenge_answered"


class Prediction(NamedTuple):
    """What a configuration makes of a request.

    ``open`` says what the line does not tell; with it the access may still be certain, but the
    reason is not.
    """

    access: Access
    reason: str
    status: int
    route: str
    detail: str = ""
    shadowed: str = ""
    open: tuple[str, ...] = ()
    decision: Decision | None = None
    """``None`` where nothing could be evaluated."""


def unknown(why: str, route: str = UNMATCHED) -> Prediction:
    """Return the prediction for a line of which nothing can be decided."""
    return Prediction("unknown", "", 0, route, open=(why,))


class _Kept(NamedTuple):
    """A prediction, and from when until when it holds (Unix seconds)."""

    prediction: Prediction
    begins: float
    ends: float


_ALWAYS = (float("-inf"), float("inf"))


class Decider:
    """Predicts what one configuration makes of recorded lines, in the order of their time."""

    def __init__(self, config: model.Config, then: Then | None = None) -> None:
        """Compile the configuration; ``then`` is that of the lines, if its tokens are the same."""
        self.config = config
        self.snapshot = recorded_snapshot(config)
        tokens = RecordedTokens(config, self.snapshot)
        self._world = World(config, self.snapshot, tokens, then)
        self.limits = RecordedLimits(config)
        self._targets: dict[tuple[str, str, str], Route | Denied] = {}
        self._kept: dict[tuple[object, ...], _Kept] = {}

    def predict(self, line: RecordedLine) -> Prediction:
        """Return the prediction for one line; it is counted by the limits."""
        prediction = self._without_limits(line)
        if not self.limits.are_set or prediction.decision is None:
            return prediction
        return self._limited(prediction, line)

    def target_of(self, line: RecordedLine) -> Route | Denied:
        """Return the route of a line's target, or why there is none. Raises ``UndecidableError``.

        For a preflight it is the route of an OPTIONS request.
        """
        key = (line.method, line.host, line.path)
        target = self._targets.get(key)
        if target is None:
            if len(self._targets) >= MAX_KEPT:
                self._targets.clear()
            target = self._targets[key] = self._match(line)
        return target

    def route_of(self, line: RecordedLine) -> str | None:
        """Return the name of the route of a line's target, if it has one."""
        try:
            target = self.target_of(line)
        except UndecidableError:
            return None
        return target.name if isinstance(target, Route) else None

    def _match(self, line: RecordedLine) -> Route | Denied:
        _check_target(line)
        try:
            route = self.snapshot.routes.find(line.method, line.host, line.path)
        except Denied as denied:
            return Denied(denied.reason, denied.detail)
        return Denied(Reason.ROUTE_UNKNOWN, NO_ROUTE) if route is None else route

    def _without_limits(self, line: RecordedLine) -> Prediction:
        if line.reason == _CHALLENGE:
            access: Access = "allow" if line.outcome == ALLOW else "deny"
            return Prediction(access, line.reason, line.status, line.route)
        known = known_of(line)
        if known is None:
            return unknown(f"reason {line.reason} is none of a rule's")
        if not line.path:
            return _as_recorded(line, known)
        try:
            target = self.target_of(line)
            key = _key_of(line, known, target)
            kept = self._kept.get(key)
            if kept is not None and kept.begins <= line.at < kept.ends:
                return kept.prediction
            prediction = self._evaluate(line, known, target)
        except UndecidableError as exc:
            return unknown(str(exc))
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[key] = _Kept(prediction, *self._span(line, known))
        return prediction

    def _evaluate(self, line: RecordedLine, known: Known, target: Route | Denied) -> Prediction:
        evaluation = RecordedEvaluation(line, known, self._world, target)
        decision = evaluation.decide()
        left_open = tuple(evaluation.open)
        if decision.module is not None and decision.allowed_before_bundle:
            left_open = (*left_open, _MODULE)
            decision = msgspec.structs.replace(decision, module=None)
        in_shadow = isinstance(target, Route) and target.shadow
        return _prediction_of(decision, left_open, passes_anyway=in_shadow)

    def _limited(self, prediction: Prediction, line: RecordedLine) -> Prediction:
        """Count the request by the limits; where one denies it, that is the prediction."""
        if prediction.decision is None or prediction.access == "unknown":
            return prediction
        decision = self.limits.limit(prediction.decision, line)
        if decision is prediction.decision or decision.outcome is not Reason.RATE_LIMITED:
            return prediction
        return _prediction_of(decision, prediction.open, passes_anyway=False)

    def _span(self, line: RecordedLine, known: Known) -> tuple[float, float]:
        """Return between which times a decision about this line's token stays the same."""
        inputs = known.inputs
        rules = None if inputs is None else self.snapshot.tokens.of(inputs.iss)
        if inputs is None or rules is None or not known.has_claims:
            return _ALWAYS
        claims, leeway = claims_of(inputs, "", ""), rules.leeway_seconds
        span = validity(claims, rules)
        edges = [span.starts_at, span.ends_at, claims.not_before - leeway]
        before = [edge for edge in edges if edge <= line.at]
        after = [edge for edge in edges if edge > line.at]
        return max(before, default=_ALWAYS[0]), min(after, default=_ALWAYS[1])


def recorded_snapshot(config: model.Config) -> Snapshot:
    """Compile a configuration for replaying: it records nothing itself."""
    audit = msgspec.structs.replace(config.audit, record_inputs=False)
    return build_snapshot(msgspec.structs.replace(config, audit=audit), ring_of_then())


def _check_target(line: RecordedLine) -> None:
    """Raise ``UndecidableError`` for a target that no sidecar matched: masked, cut or invented."""
    try:
        is_whole = (
            is_method(line.method.encode("ascii"))
            and canonical_path(line.path.encode("ascii")) == line.path
            and canonical_host(line.host.encode("ascii")) == line.host
            and "?" not in line.path
        )
    except (Denied, UnicodeEncodeError):
        is_whole = False
    if not is_whole:
        raise UndecidableError("the path was masked or cut in the log")


def _key_of(line: RecordedLine, known: Known, target: Route | Denied) -> tuple[object, ...]:
    """Return everything that a decision depends on but the time and the path.

    A preflight's route is that of the request it announces, so its path counts.
    """
    return (
        line.method, line.host, line.reason, line.outcome, line.shadow_reason, line.route,
        line.tenant, line.kid, line.principal, line.warnings, bytes(line.inputs),
        line.detail if known.reason in _DETAILED else "",
        line.path if line.method == "OPTIONS" else "",
        target.name if isinstance(target, Route) else str(target),
    )  # fmt: skip


def _as_recorded(line: RecordedLine, known: Known) -> Prediction:
    """Return what was decided before there was a target to match: no configuration changes it."""
    if known.reason is Reason.RATE_LIMITED:
        return unknown("the request was limited before its target was recorded")
    if isinstance(known.reason, Grant):
        return unknown("the line has no path")
    return Prediction("deny", known.reason, line.status, line.route, line.detail)


def _prediction_of(
    decision: Decision, left_open: tuple[str, ...], *, passes_anyway: bool
) -> Prediction:
    access: Access = "allow" if decision.allowed else "deny"
    return Prediction(
        "unknown" if decision.allowed and left_open and not passes_anyway else access,
        str(decision.outcome),
        status_of(decision),
        decision.route,
        decision.detail,
        str(decision.shadowed or ""),
        left_open,
        decision,
    )  # fmt: skip
