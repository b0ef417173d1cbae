"""Writes docs/reference-*.md, each from what the code knows. Run it as ``make reference``."""

from collections.abc import Callable, Mapping
from pathlib import Path

from tools.reference.admin_routes import admin_page
from tools.reference.alerts import alerts_page
from tools.reference.audit_lines import audit_page
from tools.reference.commands import commands_page
from tools.reference.header_fields import headers_page
from tools.reference.metrics import metrics_page
from tools.reference.settings import settings_page
from tools.reference.vault_entries import vault_page

DOCS = Path(__file__).parents[1] / "docs"
PAGES: Mapping[str, Callable[[], str]] = {
    "reference-settings.md": settings_page,
    "reference-cli.md": commands_page,
    "reference-metrics.md": metrics_page,
    "reference-alerts.md": alerts_page,
    "reference-audit.md": audit_page,
    "reference-admin-api.md": admin_page,
    "reference-headers.md": headers_page,
    "reference-vault.md": vault_page,
}

if __name__ == "__main__":
    for name, made in PAGES.items():
        (DOCS / name).write_text(made(), encoding="utf-8")
