"""The metrics of rate limits: labels of a closed set, and the fleet's where there is one."""

from sidecar.limits.metrics import limit_families
from tests.limits.test_admin_routes import Away, make


def test_the_metrics_are_of_closed_labels() -> None:
    families = {each.name: each for each in limit_families(make({"a": 1, "b": 1}), Away())}
    keys = {each.labels["limit"]: each.value for each in families["septem_limit_keys"].samples}
    assert keys == {"tenant": 2, "route": 0, "address": 0, "token": 0, "login": 0, "account": 0}
    assert families["septem_limits_store_reachable"].samples[0].value == 0
    assert families["septem_limits_members"].samples[0].value == 3


def test_without_a_fleet_nothing_is_said_of_one() -> None:
    names = {each.name for each in limit_families(make({}), None)}
    assert names == {"septem_limit_keys", "septem_limit_keys_evicted"}
