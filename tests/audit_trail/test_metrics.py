"""The metrics of the audit trail."""

from sidecar.audit_trail.metrics import checkpoint_families
from tests.audit_trail.test_checkpoints import World


async def test_checkpoints_are_counted_by_cause_and_have_an_age() -> None:
    world = World()
    world.write()
    await world.turn()
    world.clock += 5
    made, age = checkpoint_families(world.maker)
    counts = {each.labels["cause"]: each.value for each in made.samples}
    assert counts == {"start": 1, "interval": 0, "rotation": 0, "stop": 0}
    assert [each.value for each in age.samples] == [5]
