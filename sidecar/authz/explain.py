"""An explained decision: the same evaluation, with the result of each step."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.authz.evaluate import Evaluation
from sidecar.authz.routes import Route
from sidecar.common.errors import Denied


class StepResult(NamedTuple):
    """The result of one step of an evaluation."""

    step: str
    held: bool
    detail: str


_STEPS = {
    "read_method": "method",
    "read_host": "host",
    "read_path": "path",
    "match": "route",
    "check_preflight": "preflight",
    "check_client": "client",
    "find_credential": "credential",
    "verify": "token",
    "check_pii": "personal data",
    "check_revocation": "revocation",
    "check_binding": "binding",
    "check_tenant": "tenant",
    "check_grants": "roles and scopes",
}
"""The methods that are recorded, and the step's name in an explanation."""


class _RecordedEvaluation(Evaluation):
    """An evaluation that keeps each step's result. It uses no cache, so that every step runs."""

    def __init__(self, view: RequestView, snapshot: Snapshot, now: float) -> None:
        super().__init__(view, snapshot, now)
        self.step_results: list[StepResult] = []
        for method, step in _STEPS.items():
            setattr(self, method, self._recorded(step, getattr(self, method)))

    def _recorded(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            try:
                result = function(*arguments)
            except Denied as denied:
                self.step_results.append(StepResult(step, False, str(denied)))
                raise
            shown = result.name if isinstance(result, Route) else result
            self.step_results.append(
                StepResult(step, True, shown if isinstance(shown, str) else "")
            )
            return result

        return run


def explain(
    view: RequestView, snapshot: Snapshot, now: float
) -> tuple[Decision, tuple[StepResult, ...]]:
    """Return the decision and the result of each step."""
    evaluation = _RecordedEvaluation(view, snapshot, now)
    decision = evaluation.decide()
    return decision, tuple(evaluation.step_results)
