"""When the servers of a zone show enough."""

import pytest

from sidecar.certificates.challenges.dns01.propagation import (
    GRACE_SECONDS,
    NameServer,
    PropagationVerdict,
    ServerAnswer,
    Sighting,
    judge,
    without,
)

S, L, LAME, SILENT, NONE = (
    ServerAnswer.SHOWS,
    ServerAnswer.LACKS,
    ServerAnswer.LAME,
    ServerAnswer.SILENT,
    ServerAnswer.NO_ROUTE,
)
AT_ONCE, LATER, OVER = 0.0, GRACE_SECONDS, 60.0
VERDICTS = [
    ("all", (S, S), AT_ONCE, PropagationVerdict.READY),
    ("all that there is a route to", (S, NONE), AT_ONCE, PropagationVerdict.READY),
    ("one that lacks it", (S, L), LATER, PropagationVerdict.WAIT),
    ("one that lacks it for ever", (S, L), OVER, PropagationVerdict.FAIL),
    ("one that lacks it, one that is dead", (S, L, SILENT), OVER, PropagationVerdict.FAIL),
    ("a dead one", (S, SILENT), AT_ONCE, PropagationVerdict.WAIT),
    ("a dead one, later", (S, SILENT), LATER, PropagationVerdict.READY_WITHOUT_SOME),
    ("a lame one", (S, LAME), AT_ONCE, PropagationVerdict.WAIT),
    ("a lame one, later", (S, LAME), LATER, PropagationVerdict.READY_WITHOUT_SOME),
    ("nobody answers", (SILENT, LAME), LATER, PropagationVerdict.WAIT),
    ("nobody ever answers", (SILENT, LAME), OVER, PropagationVerdict.FAIL),
    ("no route anywhere", (NONE, NONE), OVER, PropagationVerdict.FAIL),
    ("no route, and one lacks it", (NONE, L), OVER, PropagationVerdict.FAIL),
]


def seen(answers: tuple[ServerAnswer, ...]) -> dict[NameServer, Sighting]:
    return {NameServer(f"ns{n}", f"192.0.2.{n}"): Sighting(a) for n, a in enumerate(answers)}


@pytest.mark.parametrize(
    ("answers", "waited", "verdict"), [v[1:] for v in VERDICTS], ids=[v[0] for v in VERDICTS]
)
def test_judge(
    answers: tuple[ServerAnswer, ...], waited: float, verdict: PropagationVerdict
) -> None:
    assert judge(seen(answers), waited, OVER) is verdict


def test_a_bound_below_the_grace_holds() -> None:
    assert judge(seen((S, SILENT)), 1.0, 1.0) is PropagationVerdict.READY_WITHOUT_SOME


def test_the_others_are_named() -> None:
    given = seen((S, L, LAME))
    given[NameServer("ns2", "192.0.2.2")] = Sighting(LAME, "REFUSED")
    assert without(given) == (
        "ns1 (192.0.2.1) does not show it; ns2 (192.0.2.2) does not answer for the zone (REFUSED)"
    )
