"""The bench itself, with real servers and a real Envoy, at a size that takes seconds.

What is held is what can be: that every figure is there, and what does not depend on how busy
the machine is. How large a ratio is, is for ``make bench``.
"""

import json
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import check, direct, envoy_settings, flood, memory, names, through_envoy, variants
from bench.clients import EdgeClient, GrpcClient
from bench.envoy_changes import CHANGES, Change, Edge, unix_socket
from bench.envoys import ext_authz, plain_edge, running_envoy
from bench.filters import decision_cache
from bench.harness import expect, serving
from bench.material import Material
from bench.targets import CHECK_TARGETS, ENVOY_TARGETS
from demo.envoyproxy import shipped_config

pytestmark = pytest.mark.real
TINY_DIRECT = direct.Size(1, direct.KINDS, 300, 40, 40, (50,), (), 0, 60)


@pytest.fixture
def material(tmp_path: Path) -> Material:
    made = Material(tmp_path)
    (tmp_path / "answer").write_bytes(check.constant_answer(made))
    return made


def test_asked_directly(material: Material) -> None:
    found = direct.measure(material, TINY_DIRECT)
    warm, cold = found["warm_us"], found["cold_us"]
    assert set(warm) == {"ours-h2", "ours-grpcio", "floor", "naive"}
    assert set(cold) == {"ours-h2", "ours-grpcio", "naive"}
    assert 0 < warm["floor"] < warm["ours-h2"] < warm["naive"]
    assert warm["ours-h2"] < cold["ours-h2"]
    assert cold["ours-h2"] > found["verify_us"] / 2
    assert set(found["distinct_us"]) == {"1", "50"}
    assert found["audit_lines_share"] == pytest.approx(1, abs=0.05)


def test_the_flood_and_its_shape(material: Material) -> None:
    found = flood.measure(material, flood.Size(1, 1.0))
    assert found["flood_p99"] == pytest.approx(
        found["p99_flooded_us"] / found["p99_at_rest_us"], rel=0.05
    )
    assert found["forged_per_second"] > 10, "a flood"
    assert "500 a second" in found["shape"]
    assert len(found["windows_flooded_us"]) == len(found["windows_at_rest_us"]) == 1


def test_memory_of_tokens_connections_and_an_hour(material: Material) -> None:
    assert 200 < memory.bytes_per_token(material) < 20_000
    assert 10 < memory.rss_worker() < 200
    hour = memory.churn(material, 600)
    assert [mark["minute"] for mark in hour["marks"]] == list(range(5, 61, 5))
    assert 0 < hour["marks"][-1]["remembered"] <= 600


@pytest.mark.quiet  # beats that come late have answers asked for that should be repeated
def test_through_envoy() -> None:
    # Fewer calls, and what Envoy does once (pages of shared memory) is most of what is measured.
    size = through_envoy.Size(1, 1_000, 1, 0.3, 0, 400)
    found = through_envoy.measure(size)
    assert {target.key for target in ENVOY_TARGETS} <= set(found)
    cpu = found["cpu_us"]
    assert cpu[names.NO_FILTER]["server"] == cpu[names.JWT]["server"] == 0
    assert cpu[names.ASKED]["server"] > 0
    assert cpu[names.NO_FILTER]["envoy"] < cpu[names.CONSTANT]["envoy"]
    assert cpu[names.REPEATED]["envoy"] < cpu[names.ASKED]["envoy"]
    assert {row["runs"] for row in found["ranges"].values()} == {1}
    json.dumps(found)


def test_envoys_own_filters_do_the_same_job(material: Material) -> None:
    """As far as a client sees it: the same headers, and no answer without a good token."""
    answer = (material.folder / "answer").read_bytes()
    headers = variants.request_headers(material)
    forged = material.token(1, forged=True)
    seen = {}
    with ExitStack() as stack:
        planned = variants.plans(material, answer, stack)
        for name in (names.SAME_JOB, names.ASKED, names.REPEATED):
            running = stack.enter_context(variants.running(planned[name], material.folder))
            if name == names.REPEATED:
                variants.until_repeated(running, headers)
            client = running.client(headers)
            fields, _ = client.answer(b"")
            seen[name] = {each: value for each, value in fields.items() if each != b"date"}
            refused, _ = client.answer(forged)
            assert refused[b":status"] == b"401"
            client.close()
    assert seen[names.SAME_JOB] == seen[names.ASKED] == seen[names.REPEATED]


@pytest.mark.parametrize(("name", "asked"), [(names.REPEATED, 53), (names.MISSED, 947)])
def test_what_is_not_what_it_is_called_is_no_figure(name: str, asked: int) -> None:
    with pytest.raises(SystemExit, match=f"of the requests of {name!r} the sidecar was asked"):
        through_envoy.as_called(name, asked, 1000, 1)
    near = asked - 1 if name == names.REPEATED else asked + 1
    through_envoy.as_called(name, near, 1000, 1)


def test_the_figures_that_have_a_target_are_all_there() -> None:
    asked = {"warm_us": {"ours-h2": 6.0, "naive": 120.0, "floor": 4.0}, "verify_us": 50.0}
    asked["cold_us"] = {"ours-h2": 70.0}
    kept = {"rss_idle_mb": 90.0, "rss_worker_mb": 48.0, "bytes_per_token": 900}
    found = check.ratios(asked, {"flood_p99": 2.0}, kept)
    assert set(found) == {target.key for target in CHECK_TARGETS}
    assert (found["warm_vs_naive"], found["warm_vs_floor"]) == (0.05, 1.5)
    assert found["cold_vs_verify"] == 1.4


def test_the_filter_of_the_bench_is_that_of_the_edge() -> None:
    edge = Edge(shipped_config(), "")
    (filter_,) = ext_authz()
    ours, shipped = filter_["typed_config"], edge.authz
    ours["grpc_service"]["envoy_grpc"]["cluster_name"] = "sidecar_authz"
    assert ours == shipped
    cached = Edge(shipped_config("edge-cached.yaml"), "")
    module, filter_ = decision_cache("/run/septem/decision-cache.sock")
    ours = filter_["typed_config"]
    ours["grpc_service"]["envoy_grpc"]["cluster_name"] = "sidecar_authz"
    assert ours == cached.authz
    assert module["typed_config"] == cached.filter("decision_cache")


@pytest.mark.parametrize("change", CHANGES, ids=[change.name for change in CHANGES])
def test_every_change_of_the_edge_changes_it(change: Change) -> None:
    edge = Edge(shipped_config(), "/run/x.sock")
    change.apply(edge)
    is_same = edge.config == shipped_config()
    assert is_same == (change.name in {"the same again", "two worker threads"})


def test_a_changed_edge_still_answers(material: Material) -> None:
    socket = str(material.folder / "floor.sock")
    over_unix = Change("over a Unix socket", unix_socket, "")
    upstream, application = plain_edge([])
    with (
        serving("floor", material.folder) as floor,
        serving("floor", material.folder, "--unix", socket),
        running_envoy(upstream, material.folder),
    ):
        config, port = envoy_settings.edge_of(over_unix, application, floor, socket)
        headers = variants.request_headers(material)
        with running_envoy(config, material.folder, concurrency=2):
            client = EdgeClient(port, headers)
            assert client.status() == 200
            client.close()


def test_an_open_loop_answers_all_and_times_each(material: Material) -> None:
    with serving("floor", material.folder) as server:
        client = GrpcClient(server.address)
        paced = client.paced([material.request(0)], rate=200, seconds=0.5)
        client.close()
    assert len(paced.latencies) == 100
    assert paced.unanswered == 0
    assert all(
        latency > late for latency, late in zip(paced.latencies, paced.lateness, strict=True)
    )


def test_a_wrong_answer_stops_the_bench(material: Material) -> None:
    with serving("ours-h2", material.folder) as server:
        with pytest.raises(SystemExit, match="should be allowed"):
            expect(server, material.request(0, forged=True), allowed=True)
        expect(server, material.request(0, forged=True), allowed=False)
