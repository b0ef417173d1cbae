"""What a file warns of: single settings, and routes, each with its line."""

from sidecar.authz.warnings import warnings_of
from sidecar.config.load import parse_located
from tests.authz.conftest import CONFIG

BEHIND = "  - {name: behind, path: /api/x, roles: [owner]}\n"


def test_each_has_its_line_and_path() -> None:
    assert warnings_of(parse_located(CONFIG, "test")) == []
    text = CONFIG
    at = text.index("  - {name: api,")
    end = text.index("\n", at) + 1
    text = text[:end] + BEHIND + text[end:] + "listen: {authz: {address: '192.0.2.1:9100'}}\n"
    setting, route = sorted(warnings_of(parse_located(text, "test")), key=lambda each: each.path)
    assert (setting.path, route.path) == ("listen.authz.address", "routes[4]")
    assert text.splitlines()[(route.line or 0) - 1].strip() == BEHIND.strip()
    assert "in the clear" in setting
