"""A configuration shown with the values in force: a configuration again, without secrets."""

from pathlib import Path
from typing import Any

import pytest

from sidecar.config.convert import convert
from sidecar.config.expected import is_secret
from sidecar.config.load import parse_located
from sidecar.config.model import Config
from sidecar.config.shown import HIDDEN, Setting, as_document, as_yaml, effective, scalar
from sidecar.config.yamltree import parse_yaml
from tests.config.documents import MINIMAL
from tests.config.walking import ROUNDS, sample, settings

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "config.example.yaml").read_text()


def shown(text: str) -> list[Setting]:
    loaded = parse_located(text, "test")
    return list(effective(loaded.config, loaded.tree.value))


@pytest.mark.parametrize("text", [EXAMPLE, MINIMAL], ids=["example", "minimal"])
def test_what_is_shown_is_the_same_configuration(text: str) -> None:
    again = "\n".join(as_yaml(shown(text)))
    assert parse_located(again, "shown").config == parse_located(text, "test").config


@pytest.mark.parametrize("number", range(ROUNDS))
def test_so_it_is_with_every_setting(number: int) -> None:
    document = sample(Config, number)
    config = convert(document, Config, [])
    assert config is not None
    given = [each for each in effective(config, document) if HIDDEN not in str(each.value)]
    tree = parse_yaml("\n".join(as_yaml(given)))
    assert tree.problems == []
    for setting in given:
        found: Any = tree.value
        for step in setting.path:
            found = found[step]
        assert found == setting.value, setting.path


def test_what_the_file_leaves_out_is_marked() -> None:
    by_path = as_document(shown(EXAMPLE))
    assert by_path["listen.authz.address"] == {"value": "127.0.0.1:9100", "default": False}
    assert by_path["listen.authz.workers"] == {"value": 1, "default": True}
    assert by_path["routes[0].csp"]["default"] is False
    assert by_path["routes[1].csp"] == {"value": "shell", "default": True}
    assert by_path["headers.csp.api.enforced[0].default-src"]["default"] is True
    lines = list(as_yaml(shown(EXAMPLE)))
    assert "    workers: 1  # default" in lines
    assert '    address: "127.0.0.1:9100"' in lines
    assert "  - name: assets" in lines


def test_a_tag_that_is_left_out_is_a_default() -> None:
    text = MINIMAL.replace("audiences:", "keys: {mount: kv}, audiences:")
    by_path = as_document(shown(text))
    assert by_path["tokens.issuers[0].keys.source"] == {"value": "vault_kv", "default": True}
    assert by_path["tokens.issuers[0].keys.mount"] == {"value": "kv", "default": False}


SECRETS = {path for path, kind in settings() if is_secret(kind)}


def test_what_may_be_a_secret_is_known_by_its_type() -> None:
    assert {"alerts.webhook.url", "audit.to.url", "headers.reports.forward.url"} <= SECRETS


@pytest.mark.parametrize("path", sorted(SECRETS))
def test_no_secret_is_shown(path: str) -> None:
    for number in range(ROUNDS):
        config = convert(sample(Config, number), Config, [])
        assert config is not None
        for setting in effective(config, {}):
            names = ".".join(str(step) for step in setting.path if isinstance(step, str))
            if names == path.replace("[]", ""):
                assert setting.value == f"https://a.example/{HIDDEN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a", "a"), ("/run/a", "/run/a"), ("true", '"true"'), ("null", '"null"'), ("1", '"1"'),
        ("a b", '"a b"'), ("é", '"\\u00e9"'), ("", '""'), ("*", '"*"'), ("-a", '"-a"'),
        ("\U0001f600\\\U0001f600", '"\\U0001f600\\\\\\U0001f600"'), ("\\ud83d", '"\\\\ud83d"'),
        (5.0, "5"), (0.25, "0.25"), (5, "5"), (True, "true"), (None, "null"), ([], "[]"),
        (["a", "b: c"], '[a, "b: c"]'), ({}, "{}"),
    ],
)  # fmt: skip
def test_a_value_is_one_line_that_reads_back(value: Any, text: str) -> None:
    assert scalar(value) == text
    assert parse_yaml(f"v: {text}").value == {"v": value}
