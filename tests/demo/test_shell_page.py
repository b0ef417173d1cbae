"""The demo's page: every attack is on it, and the documents say the same."""

import re
from pathlib import Path

import pytest

from demo.attacks import ATTACKS, Targets, fill
from demo.fake_origins import attack_of
from demo.shell import attacker_page, own_asset, shell_page

TARGETS = Targets("https://cdn.example", "https://evil.example", "https://other.example")
ROOT = Path(__file__).parents[2]


def test_every_attack_has_its_card() -> None:
    text = shell_page(TARGETS).body.decode()
    assert re.findall(r'<article class="card" id="([a-z-]+)"', text) == [a.name for a in ATTACKS]
    assert "$" not in text
    assert not re.search(r"\{(foreign|socket|other_tenant)\}", text)


def test_one_alone() -> None:
    text = shell_page(TARGETS, only="fetch").body.decode()
    assert text.count('<article class="card" id=') == 1
    assert "https://evil.example/steal/fetch" in text
    assert "septem.land" not in text


def test_the_nonce_is_the_responses() -> None:
    assert '<script nonce="abc&quot;">' in shell_page(TARGETS, 'abc"').body.decode()


def test_the_page_has_no_other_inline_script_of_its_own() -> None:
    """What is inline beside the one with the nonce is an attack."""
    text = shell_page(TARGETS, only="none").body.decode()
    assert re.findall(r"<script(?![^>]*(?:src|nonce)=)", text) == []
    assert re.findall(r"<style|\son[a-z]+=|style=", text) == []


def test_the_attackers_page_frames_the_shell() -> None:
    assert (
        '<iframe src="https://app.example/shell/"'
        in attacker_page("https://app.example/shell/").body.decode()
    )


@pytest.mark.parametrize("name", ["../stack.py", "shell.html", "module.js", "", "/etc/passwd"])
def test_no_other_file_is_served(name: str) -> None:
    assert own_asset(name) is None


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/steal/fetch", "fetch"),
        ("/evil/foreign-script.js", "foreign-script"),
        ("/evil/base/late.js", "base"),
        ("/", ""),
        ("/favicon.ico", ""),
    ],
)
def test_the_attackers_host_knows_which_attack_reached_it(path: str, name: str) -> None:
    assert attack_of(path) == name


def test_everything_stolen_would_be_noticed() -> None:
    """Whatever an attack would fetch from the attacker's host carries its name."""
    for attack in ATTACKS:
        for text in (attack.target, attack.markup):
            for path in re.findall(r"https://evil\.example(/[^\"' >]*)", fill(text, TARGETS)):
                assert attack_of(path) == attack.name


def test_the_document_lists_them_all() -> None:
    page = (ROOT / "docs/browser.md").read_text()
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [
        (attack.name, attack.story, " or ".join(f"`{each}`" for each in attack.directives))
        for attack in ATTACKS
    ]
