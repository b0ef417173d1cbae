"""Plays each attack on both sides and judges what came of it."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from demo.tenants.attacks import ATTACKS, VICTIM_LISTS, Attack, Step
from demo.tenants.targets import UNREACHED, Answer, Target

_SHOWN = 46
_LONGEST = 160


class Played(NamedTuple):
    """What one side answered: ``gain`` is the attacker's, empty where he got nothing."""

    answers: tuple[Answer, ...]
    gain: str

    @property
    def came_back(self) -> str:
        """The last refusal, or else the last answer, in short."""
        refused = [each for each in self.answers if each.status >= HTTPStatus.BAD_REQUEST]
        return in_short((refused or self.answers)[-1])


class AttackRow(NamedTuple):
    """An attack on both sides."""

    attack: Attack
    protected: Played
    control: Played

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong: the protected side gives something, or the control nothing."""
        found = []
        if self.protected.gain:
            found.append(f"he got {self.protected.gain}")
        if not self.control.gain:
            found.append(f"the control gave nothing either: {self.control.came_back}")
        return tuple(found)


class Side(NamedTuple):
    """An application, what an attack's texts say of it, and how its rows are put back."""

    target: Target
    facts: Mapping[str, str]
    restore: Callable[[str], None]
    """Called after each attack with its ``undo``."""


def play_attacks(
    protected: Side, control: Side, attacks: Sequence[Attack] = ATTACKS
) -> Iterator[AttackRow]:
    """Yield a row for each attack, as they are played."""
    for attack in attacks:
        yield AttackRow(attack, play_attack(protected, attack), play_attack(control, attack))


def play_attack(side: Side, attack: Attack) -> Played:
    """Send an attack's requests, look at what the victim has before and after, and put it back."""
    before = side.target.send(VICTIM_LISTS)
    mine: list[Answer] = []
    victims: list[Answer] = []
    for step in attack.steps:
        answer = side.target.send(filled(step, side.facts))
        (victims if step.by_victim else mine).append(answer)
    after = side.target.send(VICTIM_LISTS)
    side.restore(attack.undo)
    if before.status != HTTPStatus.OK:
        return Played((before,), "a victim that had no orders to begin with")
    return Played(tuple(mine), _gain(attack, mine, [*victims, after], before))


def filled(step: Step, facts: Mapping[str, str]) -> Step:
    """Return a step with the names in its query replaced."""
    query = dict(step.query)
    for name, value in facts.items():
        query = {key: text.replace(name, value) for key, text in query.items()}
    return step._replace(query=query)


def in_short(answer: Answer) -> str:
    """Return an answer in a few words: the number of rows, or the message."""
    try:
        document: Any = json.loads(answer.body)
    except ValueError:
        document = None
    if isinstance(document, list):
        rows = "no row" if not document else f"{len(document)} of his own rows"
        return f"{answer.status}: {rows}"
    if isinstance(document, dict):
        said = document.get("detail") or document.get("reason") or document.get("title") or "done"
        text = str(said).partition("\n")[0].replace("got: <NULL>", "nothing (NULL)")
    else:
        lines = answer.body.strip().splitlines()
        text = f"{len(lines) - 1} of his own rows" if len(lines) > 1 else "".join(lines)
    text = _cut(text, _LONGEST)
    return text if answer.status == UNREACHED else f"{answer.status}: {text}"


def _gain(attack: Attack, mine: list[Answer], victims: list[Answer], before: Answer) -> str:
    loot = [found[0] for each in mine if (found := _found(attack.loot, each))]
    if loot:
        shown = attack.means or " ".join(loot[-1].split())
        return _cut(shown, _SHOWN)
    if not attack.victim_orders and victims[-1] != before:
        left = victims[-1].status
        return "the victim's orders changed" if left == HTTPStatus.OK else f"the victim gets {left}"
    if any(_found(attack.harm, each) for each in victims):
        return "the victim's next request failed"
    return ""


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _found(pattern: str, answer: Answer) -> re.Match[str] | None:
    return re.search(pattern, f"{answer.status} {answer.body}")
