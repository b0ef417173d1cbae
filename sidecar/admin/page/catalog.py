"""The panels of the operator's page: a closed list, in the order in which they are read."""

from typing import NamedTuple


class PanelEntry(NamedTuple):
    """A panel: its name in paths, its title, and what is said while nobody provides it."""

    name: str
    title: str
    absent: str


PANELS = (
    PanelEntry("vault", "Vault", "Not connected yet."),
    PanelEntry("keys", "Keys", "Not read yet."),
    PanelEntry("revocations", "Revocations", "Not read yet."),
    PanelEntry(
        "certificates",
        "Certificates",
        "This sidecar serves no certificates (listen.sds is not configured).",
    ),
    PanelEntry(
        "envoys", "Envoys", "This sidecar serves no secrets (listen.sds is not configured)."
    ),
    PanelEntry("on-demand", "Names on demand", "Not configured (on_demand)."),
    PanelEntry("workers", "Checks", "No Check is answered yet."),
    PanelEntry("refusals", "Denials", "No decision yet."),
    PanelEntry("limits", "Rate limits", "Not configured (limits)."),
    PanelEntry("config", "Configuration", "Reloads are possible once the start is over."),
    PanelEntry("audit", "Audit log", "Not open yet."),
    PanelEntry("reports", "CSP reports", "Not configured (headers.reports and listen.reports)."),
    PanelEntry("alerts", "Alerts", "None yet."),
    PanelEntry("sources", "Polled sources", "None yet."),
    PanelEntry("operators", "Operators", "None yet."),
)
NAMES = tuple(each.name for each in PANELS)
