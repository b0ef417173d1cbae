"""What the operator's page says of rate limits. Pure, but for pauses."""

from functools import partial

from sidecar.common.printable import plural
from sidecar.limits.bucket import Bucket
from sidecar.limits.buckets import Buckets
from sidecar.limits.ports import Store
from sidecar.limits.tenant_limits import TenantLimitPoller
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Ask,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
    page_of,
    poll_findings,
)

_TENANTS = (
    ("tenant", "Tenant"), ("refused", "Refused"), ("room", "Room now"), ("limit", "Limit"),
)  # fmt: skip
_KINDS = (("kind", "Counted by"), ("keys", "Keys"), ("evicted", "Dropped for room"))
_STORE = "Bring Redis back, or the network to it: meanwhile each sidecar spends its last share."
_ENTRY = "Mend what the words name in that entry of Vault; it is read again by itself."


async def limits_panel(
    limiter: Buckets,
    store: Store | None,
    poller: TenantLimitPoller | None,
    now_ns: int,
    ask: Ask,
) -> Panel:
    """Return the panel: tenants that were denied the most come first."""
    policy = limiter.policy
    tenants, found = await page_of(
        list(limiter.tenants()),
        ask,
        key=lambda bucket: (-bucket.refused_total, bucket.value),
        matches=lambda bucket, search: search in bucket.value.lower(),
    )
    findings: list[PanelFinding] = []
    facts: list[tuple[str, Value]] = [("tenants with a limit of their own", len(policy.tenants))]
    if poller is not None:
        findings += poll_findings([poller.status], _ENTRY)
        facts.append(("tenants' own limits", poller.name))
    if store is not None:
        findings += poll_findings([store.status], _STORE)
        state = Mark("shared") if store.reachable else Mark("each for itself", Severity.WARNING)
        facts += [("fleet", state), ("sidecars that share", store.members)]
    kinds: tuple[Row, ...] = tuple(
        (kind, size, evicted) for kind, (size, evicted) in limiter.sizes().items() if size
    )
    limits: tuple[Row, ...] = tuple((str(limit),) for limit in policy.limits.values())
    rows = tuple(map(partial(_row, now_ns), tenants))
    return Panel(
        f"{plural(len(limits), 'limit')} in force.",
        tuple(findings),
        tuple(facts),
        (
            Table("tenants", "Tenants", _TENANTS, rows, found, is_paged=True,
                  brief=("tenant", "refused", "room"),
                  empty="No tenant has sent anything yet."),
            Table("limits", "Limits", (("limit", "Limit"),), limits, len(limits)),
            Table("kinds", "What is counted", _KINDS, kinds, len(kinds), empty="Nothing yet."),
        ),
    )  # fmt: skip


def _row(now_ns: int, bucket: Bucket) -> Row:
    return bucket.value, bucket.refused_total, bucket.remaining(now_ns), str(bucket.limit)
