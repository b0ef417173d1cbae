"""What the operator's page says of keys and revocations. Pure: monotonic times are given."""

from collections.abc import Iterator

from sidecar.keys.lifecycle import KeyState, Lifecycle
from sidecar.keys.refresher import KeyRefresher, PolledSource
from sidecar.keys.revocation_poller import RevocationPoller
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Action,
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
    Value,
    poll_findings,
)

REFRESH = Action("refresh", "Read keys and revocations now")
_MAX_LISTED = 200
_KEYS = (
    ("kid", "kid"), ("issuer", "Issuer"), ("algorithm", "Algorithm"),
    ("state", "State"), ("until", "Verifies until"),
)  # fmt: skip
_SOURCES = (
    ("issuer", "Issuer"), ("source", "Read from"), ("state", "State"), ("read", "Last read"),
    ("degraded", "Degraded from"), ("problem", "Last error"),
)  # fmt: skip
_SKIPPED = (("key", "Key"), ("source", "Listed in"), ("reason", "Reason"), ("why", "Why"))
_READ = "Mend what the words name; the source is read again by itself, or at once by the button."
_TOO_MANY = PanelFinding(
    Severity.WARNING,
    "key-ring",
    "The sources list more keys than a key ring may hold: the last ring stays in force.",
    None,
    "Remove keys that sign no more from what the issuers publish; the log names the limit.",
)
_MARKS = {
    KeyState.INIT: Severity.WARNING,
    KeyState.ACTIVE: None,
    KeyState.OUTAGE: Severity.WARNING,
    KeyState.DEGRADED: Severity.CRITICAL,
}


def keys_panel(refresher: KeyRefresher, monotonic: float, ask: Ask) -> Panel:
    """Return the panel of keys; ``monotonic`` is the time by which they age."""
    ring, state = refresher.view
    polled = refresher.plan.polled
    findings: list[PanelFinding] = []
    for each in polled:
        findings += _degraded(each, monotonic, ask.now)
        findings += poll_findings([each.status.status], _READ)
    findings += _without_keys(refresher)
    if state in {KeyState.OUTAGE, KeyState.DEGRADED} and not findings:
        findings.append(_TOO_MANY._replace(since=refresher.changed_at))
    skipped = [
        (item.name, each.status.name, str(item.reason), item.why)
        for each in polled
        for item in each.status.skipped.current
    ]
    tables = [
        _table("keys", "Keys that verify", _KEYS, list(_keys(refresher, monotonic, ask.now)),
               brief=("kid", "issuer", "state")),
        _table("sources", "Where they come from", _SOURCES,
               [_source(each, monotonic, ask.now) for each in polled],
               brief=("source", "state", "read")),
    ]  # fmt: skip
    if skipped:
        tables.append(_table("skipped", "Listed and not used", _SKIPPED, list(skipped)))
    number = len(ring)
    keys = "1 key verifies" if number == 1 else f"{number} keys verify"
    issuers = f"{len(polled)} issuer" + "s" * (len(polled) != 1)
    return Panel(
        f"{keys}, of {issuers}.",
        tuple(findings),
        (("state", Mark(str(state), _MARKS[state])),),
        tuple(tables),
        (REFRESH,),
    )


def revocations_panel(poller: RevocationPoller | None, monotonic: float, ask: Ask) -> Panel:
    """Return the panel of what is revoked."""
    if poller is None:
        return Panel("Not configured (keys.revocations): nothing can be revoked before it expires.")
    life, listed = poller.lifecycle, poller.revocations
    findings = [
        *_aged("revocations", "The revocations are", life, monotonic, ask.now),
        *poll_findings([poller.status], _READ),
    ]
    parts = listed.parts
    facts: tuple[tuple[str, Value], ...] = (
        ("state", Mark(str(life.state), _MARKS[life.state])),
        ("last read", _at(life, monotonic, ask.now)),
        ("read from", poller.source.name),
        ("kids", len(listed.kids)),
        ("tokens", sum(len(ids) for part in parts for ids in part.tokens.values())),
        ("subjects", sum(len(part.subjects) for part in parts)),
        ("tenants", sum(len(part.tenants) for part in parts)),
    )
    kids = _table(
        "kids", "Revoked keys", (("kid", "kid"),), [(kid,) for kid in sorted(listed.kids)]
    )
    tenants: list[Row] = [
        (tenant, At(before)) for part in parts for tenant, before in part.tenants.items()
    ]
    columns = (("tenant", "Tenant"), ("issued_before", "Tokens issued before"))
    tables = (kids, _table("tenants", "Tenants whose tokens are revoked", columns, tenants))
    return Panel(f"{len(listed)} revocations are in force.", tuple(findings), facts, tables)


def _table(
    name: str,
    title: str,
    columns: tuple[tuple[str, str], ...],
    rows: list[Row],
    *,
    brief: tuple[str, ...] = (),
) -> Table:
    return Table(name, title, columns, tuple(rows[:_MAX_LISTED]), len(rows), brief=brief)


def _degraded(polled: PolledSource, monotonic: float, now: float) -> tuple[PanelFinding, ...]:
    status = polled.status
    return _aged(
        f"degraded/{polled.source.issuer}", f"The keys of {polled.source.issuer} are",
        status.lifecycle, monotonic, now,
    )  # fmt: skip


def _aged(
    part: str, what: str, life: Lifecycle, monotonic: float, now: float
) -> tuple[PanelFinding, ...]:
    if life.state is not KeyState.DEGRADED or life.refreshed_at is None:
        return ()
    days = life.age_seconds(monotonic) / 86_400
    since = now - life.age_seconds(monotonic) + life.max_age_seconds
    return (
        PanelFinding(
            Severity.CRITICAL,
            part,
            f"{what} degraded: last read {days:.1f} days ago, and older than max_age_seconds"
            " allows. A withdrawn key or a revocation would not be known here.",
            since,
            "Mend the source today: the error below, and the card of Vault, say what refuses. One"
            " read that succeeds ends this.",
        ),
    )


def _without_keys(refresher: KeyRefresher) -> tuple[PanelFinding, ...]:
    """Say that no key verifies, of all issuers or of one whose source can be read."""
    ring = refresher.view.ring
    if refresher.view.state is KeyState.INIT:
        return ()
    bare = [
        each for each in refresher.plan.polled
        if not any(key.issuer == each.source.issuer for key in ring)
    ]  # fmt: skip
    return tuple(
        PanelFinding(
            Severity.CRITICAL,
            f"no-keys/{each.source.issuer}",
            f"No key of {each.source.issuer} verifies: every token of this issuer is denied"
            " (key_unknown).",
            refresher.changed_at,
            f"Look at {each.source.name}: it lists no key that is used, or the kids are in"
            " keys.denied_kids or revoked. Publish a key there, then read keys now.",
        )
        for each in bare
    )


def _keys(refresher: KeyRefresher, monotonic: float, now: float) -> Iterator[Row]:
    held = {each.source.issuer: each.keys for each in refresher.plan.polled}
    for key in refresher.view.ring:
        keys = held.get(str(key.issuer))
        until = None if keys is None else keys.retired_until(key.kid)
        state, ends = Mark("listed"), None
        if until is not None:
            state, ends = Mark("replaced", Severity.INFO), At(now + until - monotonic)
        yield key.kid, str(key.issuer), key.algorithm.name, state, ends


def _source(polled: PolledSource, monotonic: float, now: float) -> Row:
    life = polled.status.lifecycle
    read = _at(life, monotonic, now)
    return (
        polled.source.issuer,
        polled.source.name,
        Mark(str(life.state), _MARKS[life.state]),
        read,
        None if read is None else At(read.seconds + life.max_age_seconds),
        polled.status.status.problem,
    )


def _at(life: Lifecycle, monotonic: float, now: float) -> At | None:
    if life.refreshed_at is None:
        return None
    return At(now - life.age_seconds(monotonic))
