"""The harness for others' servers, with a server of ours in their place; Go is not needed."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import names, peer_figures
from bench.check import constant_answer
from bench.envoys import ext_authz
from bench.harness import Server, serving
from bench.material import Material
from bench.variants import Plan, assert_passes, assert_refuses, request_headers, running

pytestmark = pytest.mark.real
SIZE = peer_figures.Size(2, 100, 1, 0.2)
STAND_IN = "somebody else's"


def test_each_is_measured_and_compared_with_the_sidecar() -> None:
    found = peer_figures.measure(SIZE, Server, {STAND_IN: "naive"})
    assert set(found["vs_sidecar"]) == {
        names.NO_FILTER,
        names.REPEATED,
        names.ASKED,
        STAND_IN,
    }
    assert found["vs_sidecar"][names.ASKED] == 1
    assert found["cpu_us"][STAND_IN]["server"] > found["cpu_us"][names.ASKED]["server"]
    lines = list(peer_figures.page(found))
    assert any(line.startswith(STAND_IN) for line in lines)


def test_a_server_that_lets_a_forged_token_pass_is_not_measured(tmp_path: Path) -> None:
    material = Material(tmp_path)
    (tmp_path / "answer").write_bytes(constant_answer(material))
    headers = request_headers(material)
    with (
        serving("floor", tmp_path) as server,
        running(Plan(ext_authz(), server), tmp_path) as variant,
    ):
        assert_passes("floor", variant, headers)
        with pytest.raises(SystemExit, match=r"a forged token .* is answered 200 by 'floor'"):
            assert_refuses("floor", variant, headers, material.token(0, forged=True))


def test_without_go_it_says_so(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.peer_figures"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.startswith("Go is not here")
