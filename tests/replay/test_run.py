"""A whole log, from its lines to the document."""

import json

from sidecar.observability.audit.inputs import NO_INPUTS
from sidecar.replay.compare import Comparer
from sidecar.replay.run import replay, report
from sidecar.replay.tally import Tally
from tests.replay.changes import CHANGES
from tests.replay.lines import line
from tests.replay.traffic import configured
from tests.support.minting import NOW, TENANT


def test_what_widens_comes_first_and_then_the_most_requests() -> None:
    denied = {"outcome": "deny", "reason": "role_missing", "status": 403, "route": "admin"}
    lines = [
        *(
            line(host=f"{number}.example", route="api", tenant=str(number % 3))
            for number in range(6)
        ),
        line(tenant="2"),
        line(path="/api/admin/x", **denied),
    ]
    change = CHANGES["the api gone"]
    comparer = Comparer(configured(lambda text: change(text).replace("roles: [admin], ", "")))
    tally = Tally()
    replay(lines, comparer, tally, lambda: None)
    groups = report(tally, comparer, "new.yaml", "old.yaml")["groups"]
    assert [each["verdict"] for each in groups] == ["gained"] + ["lost"] * (len(groups) - 1)
    counts = [each["requests"] for each in groups[1:]]
    assert counts == sorted(counts, reverse=True)


def test_a_group_says_who_and_why_and_when() -> None:
    lines = [line(at=NOW + number, path="/api/admin/x", route="admin") for number in range(3)]
    lines += [line(at=NOW + 3)]
    lines += [line(path="/api/x", outcome="deny", reason="token_missing", status=401, tenant="",
                   inputs=NO_INPUTS)]  # fmt: skip
    comparer, tally = Comparer(configured(CHANGES["another role"])), Tally()
    ticks = []
    replay(lines, comparer, tally, lambda: ticks.append(tally.replayed))
    found = report(tally, comparer, "new.yaml", None)
    assert json.loads(json.dumps(found)) == found
    assert ticks == [0]
    assert found["requests"] == 5
    assert found["lost"] == {"requests": 3, "subjects": 1}
    kinds = [(each["verdict"], each["requests"]) for each in found["groups"]]
    assert kinds == [("lost", 3)]
    (lost,) = found["groups"]
    assert (lost["tenant"], lost["route"], lost["of_requests"]) == (TENANT, "admin", 3)
    assert lost["cause"] == "routes[admin].roles: owner"
    assert lost["first"] < lost["last"]
