"""What the operator's page says of the Envoys that fetch secrets. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from sidecar.common.printable import plural
from sidecar.observability.alerts import Severity
from sidecar.observability.panel import (
    Ask,
    At,
    Mark,
    Panel,
    PanelFinding,
    Row,
    Table,
)

KEPT_REFUSALS = 20
RECENT_SECONDS = 600.0
"""So long a refusal is worth a sentence."""
_COLUMNS = (("at", "At"), ("who", "Who"), ("what", "What"), ("why", "Why"))
_BRIEF = ("at", "what", "why")


class SdsRefusal(NamedTuple):
    """A secret that an Envoy refused, or a peer that may not have any. ``at`` is Unix seconds."""

    at: float
    peer: str
    why: str
    by_us: bool


def envoys_panel(streams: int, pushed: int, refusals: Sequence[SdsRefusal], ask: Ask) -> Panel:
    """Return the panel; ``pushed`` is how many secrets were sent."""
    recent = [each for each in refusals if ask.now - each.at <= RECENT_SECONDS]
    findings = (
        *_nacked([each for each in recent if not each.by_us]),
        *_turned_away([each for each in recent if each.by_us]),
    )
    rows: tuple[Row, ...] = tuple(
        (
            At(each.at), each.peer,
            Mark("was not let in" if each.by_us else "rejected a secret", Severity.WARNING),
            each.why,
        )
        for each in reversed(refusals)
    )  # fmt: skip
    connected = Mark(f"{streams:,}") if streams else Mark("none", Severity.INFO)
    return Panel(
        f"{plural(streams, 'stream')} open." if streams else "No Envoy is connected.",
        findings,
        (("streams", connected), ("secrets sent", pushed)),
        (Table("refusals", "Last rejections", _COLUMNS, rows, len(rows), brief=_BRIEF),),
    )


def _nacked(recent: Sequence[SdsRefusal]) -> tuple[PanelFinding, ...]:
    if not recent:
        return ()
    last = recent[-1]
    return (
        PanelFinding(
            Severity.WARNING,
            "sds-refused",
            f"Envoy {last.peer} rejected a secret, {plural(len(recent), 'time')} within ten"
            f" minutes: {last.why}. It goes on serving the one before, if it has one.",
            recent[0].at,
            "Read Envoy's words: most often chain and key are of a kind that it does not take, or"
            " its BoringSSL is older. Renew the certificate once that is mended.",
        ),
    )


def _turned_away(recent: Sequence[SdsRefusal]) -> tuple[PanelFinding, ...]:
    if not recent:
        return ()
    last = recent[-1]
    return (
        PanelFinding(
            Severity.WARNING,
            "sds-peers",
            f"{plural(len(recent), 'connection')} for secrets were denied within ten minutes, the"
            f" last of {last.peer}: {last.why}.",
            recent[0].at,
            "If that is your Envoy, allow its user or group (listen.sds.peer_uids, peer_gids) or"
            " its certificate (listen.sds.mtls). If it is not, find out what asks for your keys.",
        ),
    )
