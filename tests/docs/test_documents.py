"""The documents say what is so."""

import re
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from sidecar.common.reasons import ANSWERS, Reason
from sidecar.config.model import Config, Vault
from sidecar.config.overrides import OVERRIDES
from sidecar.headers.tenant import TRUSTED
from tools.reference.metrics import metrics

ROOT = Path(__file__).parents[2]
BENCH = [ROOT / "bench/README.md", ROOT / "bench/RESULTS.md"]
EXAMPLE = ROOT / "examples/tenants/README.md"
TOP = [
    ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "workload/README.md")
]
PAGES = [*TOP, ROOT / "envoy/README.md", EXAMPLE, *BENCH]
DOCUMENTS = [*PAGES, *sorted((ROOT / "docs").rglob("*.md"))]


def settings_of(kind: Any) -> set[str]:
    """Every setting's name under a type of the configuration."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return set().union(*({f.name} | settings_of(f.type) for f in fields)) if fields else set()
    if get_origin(kind) is None:
        return set()
    return set().union(*(settings_of(each) for each in get_args(kind)))


def test_every_setting_is_documented() -> None:
    page = (ROOT / "docs/configuration.md").read_text()
    words = set(re.findall(r"\w+", page))
    assert settings_of(Config) - words == set()
    assert {"role_id_file", "namespace"} <= settings_of(Vault)


def test_every_reason_is_listed_under_its_status() -> None:
    page = (ROOT / "docs/reasons.md").read_text()
    section = page.partition("\n## Reasons by status\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\d{3}) \| (.*) \|$", section, re.MULTILINE)
    listed = {word: int(status) for status, words in rows for word in re.findall(r"`(\w+)`", words)}
    assert listed == {str(reason): ANSWERS[reason].status for reason in Reason}


def test_every_override_header_and_trusted_name_is_listed() -> None:
    page = (ROOT / "docs/what-reaches-your-application.md").read_text()
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([a-z' ]+) \| (.+) \|$", page, re.MULTILINE)
    assert rows == [(each.name, each.changes, each.read_by) for each in OVERRIDES]
    assert all(f"`{name}`" in page for name in TRUSTED)


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(p.relative_to(ROOT)) for p in DOCUMENTS])
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    assert {metric.name for metric in metrics() if metric.name not in page} <= {
        "septem_build_info",
        "septem_audit_lines_written_total",
        "septem_audit_lines_queued",
    }
