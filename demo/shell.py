"""The demo's page and its files: what the sample application serves under /shell/."""

from collections.abc import Iterable
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from demo.attacks import ATTACKS, Attack, Targets, fill

PREFIX = "/shell/"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_OWN = ("shell.css", "shell.js", "watch.js", "late.js", "icon.svg")
"""What is served beside the page; the module is the CDN's, the attacker's page the attacker's."""
_CARD = Template("""\
    <article class="card" id="$name" data-name="$name" data-state="waiting"
      data-directives="$directives" data-blocked="$blocked" data-target="$target"$module>
      <h2>$title</h2><span class="state">waiting</span>
      <p>$story</p>
      <span class="directive"></span>
    </article>""")


class Page(NamedTuple):
    """A body and what it is."""

    content_type: str
    body: bytes


def asset(name: str) -> Page:
    """Read one of the files that ship with the package."""
    body = files("demo").joinpath("site", name).read_bytes()
    return Page(_TYPES[name.rpartition(".")[2]], body)


def own_asset(name: str) -> Page | None:
    """Return a file of the page, or ``None`` if there is none of this name."""
    return asset(name) if name in _OWN else None


def shell_page(targets: Targets, nonce: str = "", only: str | None = None) -> Page:
    """Write the page with every attack on it, or with ``only`` one.

    ``nonce`` is the response's, for the one inline script that is the page's own.
    """
    attacks = [each for each in ATTACKS if only is None or each.name == only]
    document = _template("shell.html").substitute(
        cdn=escape(targets.cdn),
        foreign=escape(targets.foreign),
        count=len(attacks),
        nonce=escape(nonce),
        cards="\n".join(_card(each, targets) for each in attacks),
        markup="\n".join(_markup(attacks, targets)),
    )
    return Page(_TYPES["html"], document.encode())


def attacker_page(shell: str) -> Page:
    """Write the attacker's page, which frames the shell at this address."""
    document = _template("attacker.html").substitute(shell=escape(shell))
    return Page(_TYPES["html"], document.encode())


def _template(name: str) -> Template:
    return Template(asset(name).body.decode("utf-8"))


def _card(attack: Attack, targets: Targets) -> str:
    return _CARD.substitute(
        name=attack.name,
        title=escape(attack.title),
        story=escape(attack.story),
        directives=escape(" ".join(attack.directives)),
        blocked=escape(" ".join(fill(each, targets) for each in attack.blocked)),
        target=escape(fill(attack.target, targets)),
        module=' data-module="true"' if attack.by_module else "",
    )


def _markup(attacks: Iterable[Attack], targets: Targets) -> Iterable[str]:
    """Yield what a careless application would print: deliberately not escaped."""
    return (fill(attack.markup, targets) for attack in attacks if attack.markup)
