"""The last step of a decision on a route that installs modules: its bundle is judged.

``decide`` has found that the rest of the request may pass, and has left ``module`` in the
decision: until this step has run, that is no permission (``Decision.allowed``).
"""

from msgspec.structs import replace

from sidecar.authz.decision import Decision, RequestView, Snapshot
from sidecar.common.errors import Denied
from sidecar.common.reasons import Reason
from sidecar.module_signing.install import check_bundle, unseen


def judge_bundle(decision: Decision, view: RequestView, snapshot: Snapshot) -> Decision:
    """Return the decision as it is with the bundle judged. Pure; takes milliseconds."""
    policy, mode, token = snapshot.modules, decision.module, decision.token
    if policy is None or mode is None or token is None:
        return refused(decision, Denied(Reason.INTERNAL_FAULT, "there is no policy for bundles"))
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
    """Return the refusal; whose token came with the bundle stays, for the audit log."""
    return replace(decision, outcome=denied.reason, detail=denied.detail)
