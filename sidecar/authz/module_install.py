"""The last step of a decision on a route that installs modules: checking the bundle.

``decide`` found that the request passes every other step and set ``module`` in the decision:
until this step has run, the request is not allowed (``Decision.allowed``).
"""

from msgspec.structs import replace

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.install import check_bundle, unseen


def judge_bundle(decision: Decision, view: RequestView, snapshot: Snapshot) -> Decision:
    """Return the decision with the bundle checked. A pure function; takes milliseconds."""
    policy, mode, token = snapshot.modules, decision.module, decision.token
    if policy is None or mode is None or token is None:
        return refused(decision, Denied(Reason.INTERNAL_FAULT, "no policy for bundles is set"))
    roles, publishers = token.claims.roles, snapshot.publishers
    try:
        provenance = check_bundle(
            view.body, view.headers, roles, mode=mode, policy=policy, publishers=publishers
        )
    except Denied as denied:
        return refused(decision, denied)
    removed = (*decision.removed, *unseen(view.headers))
    return replace(decision, provenance=provenance, detail=str(provenance), removed=removed)


def refused(decision: Decision, denied: Denied) -> Decision:
    """Return the denial; the token's identity stays in it for the audit log."""
    return replace(decision, outcome=denied.reason, detail=denied.detail)
