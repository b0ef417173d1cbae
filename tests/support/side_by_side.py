"""How `make test` runs the tests in several processes (pytest-xdist): most of them wait.

A process takes a whole file, so that what the file has started is started once. Files that take
long are begun first, so that none of them is alone at the end. A test with ``pytest.mark.quiet``
measures time: it runs when all others have ended, in one process with the others of its kind.
Without ``-n`` none of this matters: tests run in the order of their files.
"""

import pytest
from _pytest.nodeid import coerce_node_id
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

QUIET = "quiet"
LONG = (
    "tests/mutation/test_sample.py",
    "tests/fuzz/test_short.py",
    "tests/demo/test_once.py",
    "tests/bench/soak/test_soak.py",
    "tests/doctor/test_policy.py",
    "tests/decision_cache/test_ends.py",
    "tests/integration/test_bound_tokens.py",
    "tests/integration/test_service_mtls.py",
    "tests/docs/test_command_blocks.py",
    "tests/streams/test_restarts.py",
    "tests/graders/test_graders.py",
    "tests/integration/test_audit_trail.py",
    "tests/deploy/test_compose.py",
    "tests/vault_setup/test_component.py",
    "tests/integration/test_edge.py",
    "tests/keys/test_refresher.py",
    "tests/certificates/test_rotation.py",
    "tests/authz/test_stateful.py",
    "tests/bench/test_smoke.py",
    "tests/bench/test_scale.py",
    "tests/runtime/workers/test_behind_envoy.py",
    "tests/runtime/workers/test_hostile.py",
    "tests/demo/test_stack.py",
    "tests/docs/test_connect_your_envoy.py",
    "tests/integration/test_on_demand_ttl.py",
    "tests/runtime/workers/test_descriptors.py",
    "tests/integration/test_on_demand.py",
    "tests/browser/test_shell.py",
    "tests/admin/page/test_incidents.py",
    "tests/browser/test_admin_page.py",
    "tests/cli/test_envoy_init.py",
    "tests/authz/test_recorder.py",
    "tests/headers/test_envoy_patterns.py",
    "tests/applications/test_paths.py",
    "tests/runtime/workers/test_pool.py",
    "tests/runtime/workers/test_broadcast.py",
    "tests/envoy/decision_cache/test_end_to_end.py",
    "tests/bench/test_peer_figures.py",
    "tests/decision_cache/test_envoy_under_change.py",
    "tests/envoy/decision_cache/test_guards.py",
    "tests/envoy/decision_cache/test_programs.py",
    "tests/certificates/issuers/acme/test_issuer.py",
    "tests/certificates/challenges/dns01/test_solver.py",
    "tests/docs/test_python_blocks.py",
    "tests/applications/test_names.py",
    "tests/integration/test_acme_sidecar.py",
    "tests/integration/test_vault_backup.py",
    "tests/applications/test_credentials.py",
    "tests/integration/test_modules.py",
    "tests/demo/test_edge_limits.py",
    "tests/deploy/test_kubernetes.py",
    "tests/deploy/test_gateways.py",
    "tests/runtime/test_serve.py",
    "tests/applications/test_requests.py",
    "tests/integration/test_audit_sinks.py",
    "tests/replay/test_compare.py",
    "tests/idp/test_oidc_provider.py",
    "tests/integration/test_tenant_tables.py",
)
"""Files that take more than about ten seconds, the longest first; by ``--durations=0``."""


class QuietLast(LoadScopeScheduling):
    """Hands out files in the order of the collection, then the quiet tests to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return QUIET if nodeid.endswith(f"@{QUIET}") else nodeid.split("::", 1)[0]

    def _assign_work_unit(self, node: WorkerController) -> None:
        """Give ``node`` the next file; pytest may have put quiet tests between others.

        It groups tests by their fixtures after ``pytest_collection_modifyitems``.
        """
        if QUIET in self.workqueue:
            self.workqueue.move_to_end(QUIET)
        super()._assign_work_unit(node)

    def _reschedule(self, node: WorkerController) -> None:
        """Give ``node`` what it needs next; called whenever it has ended a test."""
        if set(self.workqueue) != {QUIET}:
            super()._reschedule(node)
            return
        left = [each for each in self.nodes if not each.shutting_down]
        if len(left) > 1:
            if node in left:
                node.shutdown()  # when it has ended what it has
        elif left and not self._others_work(left[0]):
            self._assign_work_unit(left[0])

    def _others_work(self, last: WorkerController) -> bool:
        work = self.assigned_work
        return any(self._pending_of(work[each]) for each in self.nodes if each is not last)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> QuietLast | None:
    """Name our scheduler where groups are asked for: ``--dist loadgroup``."""
    if config.getoption("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False  # the order is _turn's, not the number of tests
    return QuietLast(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what is long first and what is quiet last, in each process alike."""
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if item.get_closest_marker(QUIET) is not None:
            # Its name is all that the scheduler is told. xdist's own groups do nothing with
            # pytest 9.2, which has no _nodeid any more.
            item._id = coerce_node_id(f"{item.nodeid}@{QUIET}")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> tuple[bool, int]:
    file = item.nodeid.split("::", 1)[0]
    turn = LONG.index(file) if file in LONG else len(LONG)
    return item.get_closest_marker(QUIET) is not None, turn
