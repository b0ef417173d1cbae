"""A configuration: what it defaults to, and what is said of a bad one."""

from pathlib import Path

import pytest
from msgspec import structs

from sidecar.common.errors import ConfigFault
from sidecar.config import load_config, parse_config
from sidecar.config.headers import BUILT_IN, HSTS
from tests.config.documents import MINIMAL, problems

ROOT = Path(__file__).parents[2]


def test_the_example_loads() -> None:
    config = load_config(ROOT / "config.example.yaml")
    assert [route.name for route in config.routes] == ["assets", "landing", "api"]


def test_the_example_shows_the_defaults() -> None:
    """Uncommenting every default changes nothing; beside it stand the platform's own hosts."""
    text = (ROOT / "config.example.yaml").read_text()
    minimal = parse_config(MINIMAL, "test.yaml")
    example = load_config(ROOT / "config.example.yaml")
    for name in ("shell", "static"):
        (shown,) = example.headers.csp[name].enforced
        (default,) = minimal.headers.csp[name].enforced
        own = {k: tuple(v for v in vs if "septemcore" not in v) for k, vs in shown.items()}
        assert own == default
        assert shown != default
    assert structs.replace(example.headers, csp={}) == structs.replace(minimal.headers, csp={})
    assert example.keys == minimal.keys
    for line in ("max_token_bytes: 8192", "max_lifetime_seconds: 900", "leeway_seconds: 30"):
        assert f"# {line}" in text
        name, _, value = line.partition(": ")
        assert getattr(minimal.tokens, name) == float(value)
    assert f"# hsts: {HSTS}" in text
    assert f"# max_age_seconds: {minimal.keys.max_age_seconds:.0f}" in text


def test_the_defaults_are_the_security_models() -> None:
    config = parse_config(MINIMAL, "test.yaml")
    assert config.tokens.max_token_bytes == 8 * 1024
    assert config.tokens.max_lifetime_seconds == 15 * 60
    assert config.keys.max_age_seconds == 7 * 24 * 3600
    assert config.headers.hsts == "max-age=31536000; includeSubDomains; preload"
    (shell,) = config.headers.csp["shell"].enforced
    assert shell["script-src"] == ("'self'",)
    assert shell["connect-src"] == ("'self'", "{tenant_domain}")
    assert config.routes[0].auth == "required"


def test_the_example_has_the_security_models_hosts() -> None:
    (shell,) = load_config(ROOT / "config.example.yaml").headers.csp["shell"].enforced
    assert shell["script-src"] == ("'self'", "cdn.septemcore.com")
    assert shell["connect-src"] == ("'self'", "api.septemcore.com", "{tenant_domain}")


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_built_in_profile_names_a_host(name: str) -> None:
    """Whose platform it is, the configuration says: nobody's CDN is on everybody's pages."""
    profile = BUILT_IN[name]
    for policy in (*profile.enforced, *profile.report_only):
        for values in policy.values():
            assert not [value for value in values if "." in value]


def test_every_problem_is_reported_at_once() -> None:
    found = problems(
        MINIMAL.replace("https://vault.internal:8200", "ftp://x").replace("name: api", "name: A!")
        + "log: {level: loud}\nnonsense: 1\n"
    )
    assert len(found) == 4


def test_settings_cannot_be_changed() -> None:
    config = parse_config(MINIMAL, "test.yaml")
    with pytest.raises(AttributeError):
        config.log.level = "debug"  # type: ignore[misc]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault) as fault:
        load_config(tmp_path / "none.yaml")
    assert "cannot be read" in fault.value.problems[0]


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigFault) as fault:
        load_config(path)
    assert fault.value.problems == ("is not UTF-8",)
