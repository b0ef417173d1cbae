"""The metrics: what modules count, summed over their leases."""

from pathlib import Path

from sidecar.decision_cache.metrics import lease_families
from sidecar.decision_cache.protocol import ASKED, ModuleCount
from tests.decision_cache.served import Served


async def test_each_count_of_a_module_is_shown(tmp_path: Path) -> None:
    served = Served(tmp_path)
    rings = [(await served.lease())[1].ring for _ in range(2)]
    for ring in rings:
        for number in ModuleCount:
            ring.count(number, 100 + number)
    samples = {
        (sample.name.removeprefix("septem_decision_cache_"), *sample.labels.values()): sample.value
        for family in lease_families(served.leases, 5, True)
        for sample in family.samples
    }
    served.close()
    shown: dict[tuple[str, ...], float] = {
        ("asked_total", name): 2 * (100 + number) for name, number in ASKED.items()
    }
    for name in ("repeated", "learnt", "not_learnt", "evicted"):
        shown[f"{name}_total",] = 2 * (100 + ModuleCount[name.upper()])
    for name in ("entries", "bytes"):
        shown[name,] = 2 * (100 + ModuleCount[name.upper()])
    others = {"leases": 2, "ring_fill": 0, "leases_refused_total": 5, "ring_faults_total": 0}
    shown |= {(name,): value for name, value in others.items()}
    assert samples == {**shown, ("routes_fit",): 1}
