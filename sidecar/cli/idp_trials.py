"""Tries an issuer's proposed entry on its token: what is refused without which setting. Pure.

A verifier names the first reason and stops. Here each reason is mended, by the one setting of the
proposal that changes the verdict, until the token is accepted: so all reasons are known.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sidecar.cli.idp_proposal import EntrySetting


class TrialVerdict(NamedTuple):
    """How the edge decides about the token."""

    ok: bool
    reason: str
    detail: str


class TrialRefusal(NamedTuple):
    """One reason for which the token is refused, and the settings that end it; none: nothing."""

    reason: str
    detail: str
    mended_by: tuple[str, ...]


class Trials(NamedTuple):
    """Every refusal in order, and whether the whole proposal has the token accepted."""

    refusals: tuple[TrialRefusal, ...]
    accepted: bool


Judge = Callable[[Sequence[EntrySetting]], TrialVerdict | None]
"""Decides with these settings only; ``None`` where they can't stand without others."""


def try_out(settings: Sequence[EntrySetting], judge: Judge) -> Trials:
    """Add one setting after the other until the token is accepted."""
    refusals: list[TrialRefusal] = []
    applied: list[EntrySetting] = []
    left = list(settings)
    verdict = judge(applied)
    while verdict is not None and not verdict.ok:
        found = _what_changes(verdict, applied, left, judge)
        if found is None:
            refusals.append(TrialRefusal(verdict.reason, verdict.detail, ()))
            return Trials(tuple(refusals), accepted=False)
        mended, after = found
        names = tuple(each.name for each in mended)
        refusals.append(TrialRefusal(verdict.reason, verdict.detail, names))
        applied += mended
        left = [each for each in left if each not in mended]
        verdict = after
    whole = judge(settings)
    if whole is None:
        refusals.append(
            TrialRefusal("entry_not_possible", "its claims can't be written as settings", ())
        )
    elif not whole.ok:
        refusals.append(TrialRefusal(whole.reason, whole.detail, ()))
    return Trials(tuple(refusals), accepted=whole is not None and whole.ok)


def _what_changes(
    verdict: TrialVerdict, applied: list[EntrySetting], left: list[EntrySetting], judge: Judge
) -> tuple[list[EntrySetting], TrialVerdict] | None:
    """Return the first setting, or else all of them, that changes the verdict, and to what."""
    for tried in (*([each] for each in left), left):
        after = judge([*applied, *tried])
        if tried and after is not None and after != verdict:
            return list(tried), after
    return None
