"""docs/reference-cli.md: every command, from the parsers."""

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from sidecar.cli.main import COMMANDS, EXIT_CONFIG, EXIT_FAULT, EXIT_INTERRUPTED, build_parser
from tools.reference.page import page, sentence, table

_INTRODUCTION = """
`sidecar --help` and `sidecar COMMAND --help` print the same in the terminal.
"""
_STATUSES = (
    ("0", "the command did what it is for"),
    (str(EXIT_FAULT), "it failed, or found what it looks for; the message says which"),
    (str(EXIT_CONFIG), "the arguments or the configuration are wrong"),
    (str(EXIT_INTERRUPTED), "it was interrupted (Ctrl-C)"),
)
_STATUS_WORDS = "Where a command has statuses of its own, its text below says so."
_OUTPUT_WORDS = (
    "A command prints its result on standard output, and all else on standard error: questions, "
    "progress, warnings, advice and failures. A redirected output holds the result alone."
)


class Command(NamedTuple):
    """One command that does something: its words, and its parser."""

    words: str
    parser: argparse.ArgumentParser


def commands() -> Iterator[Command]:
    """Yield every command, in the order of the help."""
    for name in COMMANDS:
        yield from _leaves(build_parser(name), "sidecar", name)


def _leaves(parser: argparse.ArgumentParser, words: str, only: str = "") -> Iterator[Command]:
    groups = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001
    if not groups:
        yield Command(words, parser)
    for group in groups:
        for name, child in group.choices.items():
            if only in {"", name}:
                yield from _leaves(child, f"{words} {name}")


def commands_page() -> str:
    """Return the page."""
    body = [f"## Exit statuses\n{table(('Status', 'Meaning'), _STATUSES)}\n\n{_STATUS_WORDS}"]
    body.append(f"## Output\n{_OUTPUT_WORDS}")
    group = ""
    for command in commands():
        first = command.words.split()[1]
        if first != group:
            group = first
            body.append(f"## sidecar {first}\n{sentence(COMMANDS[first])}")
        heading = f"### {command.words}\n" if command.words != f"sidecar {first}" else ""
        body.append(f"{heading}{_text(command)}")
    return page("Command line", "the parsers in sidecar/cli/", _INTRODUCTION, body)


def _text(command: Command) -> str:
    actions = [each for each in command.parser._actions if "--help" not in each.option_strings]  # noqa: SLF001
    usage = " ".join([command.words, *map(_in_usage, sorted(actions, key=_is_positional))])
    parts = [sentence(command.parser.description or ""), f"Usage: `{usage}`"]
    if actions:
        lines = [(f"`{_name(each)}`", _help(command.parser, each)) for each in actions]
        parts.append(table(("Argument", "Meaning"), lines))
    return "\n\n".join(parts)


def _is_positional(action: argparse.Action) -> bool:
    return not action.option_strings


def _name(action: argparse.Action) -> str:
    value = _value(action)
    if not action.option_strings:
        return value
    return ", ".join(f"{name} {value}".strip() for name in action.option_strings)


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    choices = f"{{{','.join(map(str, action.choices))}}}" if action.choices else ""
    shown = action.metavar or choices or action.dest.upper()
    name = shown if isinstance(shown, str) else " ".join(shown)
    return f"{name} …" if action.nargs in {"*", "+"} else name


def _in_usage(action: argparse.Action) -> str:
    name = (
        _name(action)
        if not action.option_strings
        else f"{action.option_strings[-1]} {_value(action)}"
    )
    required = action.required and action.nargs not in {"*", "?"}
    return name.strip() if required else f"[{name.strip()}]"


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    if not action.help:
        return sentence(f"the {(_value(action) or action.dest).lower()}")
    return sentence(parser._get_formatter()._expand_help(action))  # noqa: SLF001
