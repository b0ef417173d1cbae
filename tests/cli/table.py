"""Every command of the command line, and how each is run in the tests of all of them."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from sidecar.cli.main import COMMANDS, build_parser
from tests.config.documents import MINIMAL

ROOT = Path(__file__).parents[2]
UNANSWERED = "127.0.0.1:1"
"""An admin port that nobody has."""


class Leaf(NamedTuple):
    """One command: its words, and its parser."""

    words: str
    parser: argparse.ArgumentParser


def leaves() -> list[Leaf]:
    """Return every command that does something, in the order of the help."""
    return [leaf for name in COMMANDS for leaf in _leaves(build_parser(name), "", name)]


def _leaves(parser: argparse.ArgumentParser, words: str, only: str = "") -> Iterator[Leaf]:
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        yield Leaf(words.strip(), parser)
    for group in groups:
        for name, child in group.choices.items():
            if only in {"", name}:
                yield from _leaves(child, f"{words} {name}")


class Invocation(NamedTuple):
    """Arguments after the command's words, and what is on standard input.

    ``result`` is a pattern of all that the command may print on standard output without
    ``--json``: its result, and nothing for a command that fails.
    """

    arguments: list[str]
    stdin: bytes = b""
    result: str = ""


def invocations(folder: Path) -> dict[str, Invocation]:
    """Return one invocation of each command that prints something.

    ``folder`` has ``files`` (conftest) and a name that is not ASCII in it.
    """
    config = str(ROOT / "config.example.yaml")
    key, jwks = str(folder / "key.pem"), str(folder / "jwks.json")
    bundle = folder / "remöte.js"
    bundle.write_text("export {}")
    case = folder / "cäse.yaml"
    case.write_text("request: {path: /é}\nname: é\n")
    log = folder / "audit.jsonl"
    log.write_text('{"decision_id":"1","reason":"tökens"}\n')
    bad = folder / "bäd.yaml"
    bad.write_text("é: 1\n")
    pseudonyms = folder / "pseudonyms.yaml"
    pseudonyms.write_text(f"{MINIMAL}audit: {{pseudonyms: {{path: audit/pseudonyms}}}}\n")
    admin = ["--admin", UNANSWERED]
    sealed = [
        *("--config", config, "--token-file", key),
        *("--seal-vault", f"http://{UNANSWERED}", "--seal-token-file", key),
    ]
    return {
        "serve": Invocation(["--config", str(bad)]),
        "envoy lint": Invocation(
            [str(bad)], result=r"\S+: error no-check: .+\n    why: .+\n    write: .+\n1 error, .+\n"
        ),
        "envoy rules": Invocation([], result=r"([a-z0-9-]+ \(\w+\)\n  .+\n  write: .+\n)+"),
        "envoy init": Invocation(
            [config, "--output", str(folder / "envoy.yaml"), "--force"], result=r"written: \S+\n"
        ),
        "health": Invocation(["--address", UNANSWERED]),
        "demo": Invocation(["--tls-min", "1.é"]),
        "config check": Invocation([str(bad)]),
        "config diff": Invocation([config, config], result=r"no difference: .+\n"),
        "config init": Invocation(
            [
                *("--vault", "https://v:8200", "--issuer", "é", "--audience", "é"),
                *("--host", "a.example", "--envoy", "--force", "--directory", str(folder)),
            ],
            result=r"written: \S+, \S+\n",
        ),
        "config show": Invocation([config], result=r"(( *- | *)[\w-]+:( .*)?\n| *- .*\n)+"),
        "config schema": Invocation([], result=r"\{\n(.*\n)+\}\n"),
        "config envoy": Invocation([config], result=r"(#.*\n|[- ] .*\n)+"),
        "config reload": Invocation(admin),
        **{
            f"revoke {kind}": Invocation([*value, "--config", config, "--token-file", key])
            for kind, value in {
                "token": ["é", "--exp", "2000000000"],
                "subject": ["é"],
                "tenant": ["é"],
                "kid": ["é"],
            }.items()
        },
        "idp inspect": Invocation(["https://127.0.0.1:1/é"]),
        "token verify": Invocation(["--jwks", jwks], b"a.b.c\n", r'{"ok":false,.+}\n'),
        "token mint": Invocation(
            ["--key", key, "--issuer", "é", "--audience", "é", "--tenant", "é"],
            result=r"[\w-]+\.[\w-]+\.[\w-]+\n",
        ),
        "check": Invocation(
            ["--config", config, "--request", str(case)], result=r"\{\n(  .*\n)+\}\n"
        ),
        "audit key": Invocation(["--config", config]),
        "audit subject": Invocation(["t", "é", "--config", config, "--token-file", key]),
        "audit forget": Invocation(["t", "é", "--config", str(pseudonyms), "--token-file", key]),
        "audit verify": Invocation(
            [str(log)],
            result=r"\S+: unchained: .+\nno signature was checked: .+\nTHE TRAIL DOES NOT HOLD.+\n",
        ),
        "explain": Invocation(
            ["1", "--audit", str(log)], result=r"decision 1 .+\n  reason +tökens\n"
        ),
        "replay": Invocation([str(log), "--config", config]),
        "module sign": Invocation(
            ["--key", key, "--output", f"{bundle}.sig", str(bundle)],
            result=r"\S+: sha256:[0-9a-f]{64}\n",
        ),
        "module verify": Invocation(["--key", jwks, "--signature", jwks, str(bundle)]),
        "csp check": Invocation(
            ["--policy", "script-src é"],
            result=r"severity .+\n((high|medium|low|info) .+\n)+0 high, .+\n",
        ),
        "csp suggest": Invocation(["--config", config, "--reports", str(log)]),
        "certs list": Invocation(admin),
        "certs show": Invocation([*admin, "é"]),
        "certs renew": Invocation([*admin, "é"]),
        "certs revoke": Invocation([*admin, "é"]),
        "certs pins": Invocation(admin),
        "certs drill": Invocation(["é", "--config", config]),
        "doctor": Invocation(["--config", str(bad)]),
        "vault policy": Invocation(["--config", config], result=r"#.*\n(path \".+\n)+"),
        "vault setup": Invocation(["--config", config, "--token-file", key, "--name", "é"]),
        "vault backup": Invocation(["--output", f"{folder}/é", *sealed]),
        "vault restore": Invocation([str(bundle), *sealed]),
    }
