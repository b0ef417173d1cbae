"""Reloads by result, the time of the last success, and which configuration is in force."""

from sidecar.runtime.reload.metrics import reload_families
from tests.observability.rendered import rendered
from tests.runtime.reload.conftest import Reloading

SUCCESSFUL = ("septem_config_last_reload_successful",)


async def test_the_families(reloading: Reloading) -> None:
    reloading.now = 5000.0
    await reloading.reloader.reload()
    assert rendered(reload_families(reloading.reloader))[SUCCESSFUL] == 1
    reloading.now = 6000.0
    reloading.path.write_text("- broken")
    await reloading.reloader.reload()
    found = rendered(reload_families(reloading.reloader))
    assert found[SUCCESSFUL] == 0
    reloads = "septem_config_reloads_total"
    assert found[reloads, "result=unchanged"] == 1
    assert found[reloads, "result=invalid"] == 1
    assert found[reloads, "result=applied"] == 0
    assert found["septem_config_last_reload_success_timestamp_seconds",] == 5000
    assert found["septem_config_info", f"sha256={reloading.reloader.digest}"] == 1
