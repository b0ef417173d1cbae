"""The bench of orders beside fifty that hang, with one round: how large a ratio is, is for it."""

import pytest

from bench.stuck_orders import measure
from demo.openbao import OpenBao

pytestmark = pytest.mark.real


async def test_a_round_has_both_halves() -> None:
    openbao = OpenBao()
    try:
        openbao.enable_pki(["septemcore.com"])
        found = await measure(openbao, 1)
    finally:
        openbao.stop()
    (only,) = found["rounds"]
    assert only["rest_ms"] > 0
    assert only["beside_ms"] > 0
    ratio = only["beside_ms"] / only["rest_ms"]
    two_decimals = 0.005
    assert found["ratio"]["median"] == pytest.approx(ratio, rel=0.05, abs=two_decimals)
