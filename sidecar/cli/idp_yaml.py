"""Writes an issuer's entry as YAML, the questions for a person above what they are about. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap
from typing import Any

from sidecar.cli.idp_proposal import EntrySetting, Proposal
from sidecar.common.printable import printable
from sidecar.config.shown import scalar

CHOOSE = "# CHOOSE: "
_WIDTH = 100


def entry_lines(
    proposal: Proposal, keys: Mapping[str, Any], settings: Sequence[EntrySetting]
) -> Iterator[str]:
    """Yield an element of the list ``tokens.issuers``; only ``settings`` of the proposal."""
    yield f"- issuer: {scalar(proposal.issuer)}"
    yield from _setting_lines(proposal.audiences, "  ")
    yield f"  keys: {flow(keys)}"
    below: list[EntrySetting] = []
    for each in settings:
        if each.name.startswith("claims."):
            below.append(each._replace(name=each.name.removeprefix("claims.")))
        else:
            yield from _setting_lines(each, "  ")
    if below:
        yield "  claims:"
        for each in below:
            yield from _setting_lines(each, "    ")


def flow(value: Any) -> str:
    """Return a value in one line of YAML."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(k)}: {flow(v)}' for k, v in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(flow, value))}]"
    return scalar(value)


def comment_lines(text: str, indent: str = "", begin: str = "# ") -> Iterable[str]:
    """Return a comment in lines of bounded width, whatever the text has in it."""
    further = "#" + " " * (len(begin) - 1)
    return wrap(
        printable(text),
        _WIDTH,
        initial_indent=indent + begin,
        subsequent_indent=indent + further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _setting_lines(setting: EntrySetting, indent: str) -> Iterator[str]:
    if setting.choose:
        yield from comment_lines(setting.choose, indent, CHOOSE)
    yield f"{indent}{setting.name}: {flow(setting.value)}"
