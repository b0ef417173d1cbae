"""What an attack gave is judged by the answers: a scripted application on each side."""

from collections.abc import Callable

import pytest

from demo.tenants.attacks import LIST, VICTIM_LISTS, Attack, Step, search
from demo.tenants.playing import AttackRow, Played, Side, in_short, play_attack, play_attacks
from demo.tenants.targets import UNREACHED, Answer

THEIRS = Answer(200, '[{"number":101,"item":"laser-7263"}]')
NONE = Answer(200, "[]")


class Scripted:
    """Answers by functions of the step; keeps what it was asked."""

    def __init__(self, attacker: Answer, *victims: Answer) -> None:
        self.asked: list[Step] = []
        self._attacker = attacker
        self._victims = list(victims)

    def send(self, step: Step) -> Answer:
        self.asked.append(step)
        if not step.by_victim:
            return self._attacker
        return self._victims.pop(0) if len(self._victims) > 1 else self._victims[0]


def side(*answers: Answer, restore: Callable[[str], None] = lambda _: None) -> Side:
    return Side(Scripted(*answers), {"<A>": "acme", "<B>": "globex"}, restore)


ATTACK = Attack("one", (LIST,))


@pytest.mark.parametrize(
    ("answers", "attack", "gain"),
    [
        ((NONE, THEIRS), ATTACK, ""),
        ((Answer(200, "laser-7263"), THEIRS), ATTACK, "laser-7263"),
        ((Answer(400, "error: b61@globex.example"), THEIRS), ATTACK, "b61@globex.example"),
        ((Answer(409, ""), THEIRS), Attack("n", (LIST,), "^409", "it exists"), "it exists"),
        ((NONE, THEIRS, NONE), ATTACK, "the victim's orders changed"),
        ((NONE, THEIRS, Answer(500, "")), ATTACK, "the victim gets 500"),
        ((NONE, THEIRS, NONE), Attack("n", (LIST,), victim_orders=True), ""),
        (
            (NONE, THEIRS, Answer(503, ""), NONE),
            Attack("n", (LIST, VICTIM_LISTS), victim_orders=True),
            "the victim's next request failed",
        ),
        ((NONE, Answer(500, "")), ATTACK, "a victim that had no orders to begin with"),
    ],
    ids=[
        "nothing", "read", "told by an error", "existence", "changed", "denied", "its own change",
        "failed meanwhile", "no victim",
    ],
)  # fmt: skip
def test_what_the_attacker_gains(answers: tuple[Answer, ...], attack: Attack, gain: str) -> None:
    assert play_attack(side(*answers), attack).gain == gain


def test_long_loot_is_cut() -> None:
    attack = Attack("n", (LIST,), loot="x+")
    gain = play_attack(side(Answer(200, "x" * 99), THEIRS), attack).gain
    assert len(gain) == 46
    assert gain.endswith("…")


def test_the_facts_are_filled_in_and_everything_is_put_back() -> None:
    undone: list[str] = []
    played = side(NONE, THEIRS, restore=undone.append)
    play_attack(played, Attack("n", (search("<A> and <B>"),), undo="DROP it"))
    assert isinstance(played.target, Scripted)
    before, attack, after = played.target.asked
    assert before == after == VICTIM_LISTS
    assert attack.query["words"] == "acme and globex"
    assert undone == ["DROP it"]


def test_a_row_is_right_if_only_the_control_gives_something() -> None:
    loot, nothing = side(THEIRS, THEIRS), side(NONE, THEIRS)
    verdicts = [
        bool(row.problems)
        for protected, control in ((nothing, loot), (nothing, nothing), (loot, loot))
        for row in play_attacks(protected, control, [ATTACK])
    ]
    assert verdicts == [False, True, True]


@pytest.mark.parametrize(
    ("answer", "short"),
    [
        (NONE, "200: no row"),
        (Answer(200, "[1, 2]"), "200: 2 of his own rows"),
        (Answer(400, '{"detail": "got: <NULL>\\nCONTEXT"}'), "400: nothing (NULL)"),
        (Answer(400, '{"detail": "denied\\nHINT"}'), "400: denied"),
        (Answer(403, '{"reason": "tenant_mismatch"}'), "403: tenant_mismatch"),
        (Answer(201, '{"number": 1}'), "201: done"),
        (Answer(200, "number,item\r\n1,anvil\r\n"), "200: 1 of his own rows"),
        (Answer(502, "no healthy upstream"), "502: no healthy upstream"),
        (Answer(UNREACHED, "refused"), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_answer_in_short(answer: Answer, short: str) -> None:
    assert in_short(answer) == short


def test_a_refusal_is_shown_before_what_came_after_it() -> None:
    refused = Answer(400, '{"detail": "permission denied"}')
    assert Played((NONE, refused, NONE), "").came_back == "400: permission denied"
    assert Played((refused, Answer(429, "[]")), "").came_back == "429: no row"
    row = AttackRow(ATTACK, Played((NONE,), ""), Played((NONE,), ""))
    assert row.problems == ("the control gave nothing either: 200: no row",)
