"""The figures of each algorithm: all of them, and the signature is a part of the token's."""

from bench.algorithms import figures
from sidecar.tokens.algorithms import ALGORITHMS


def test_there_is_a_figure_of_each_algorithm() -> None:
    found = dict(figures(rounds=1, calls=1))
    assert found.keys() == ALGORITHMS.keys()
    assert all(each["token_us"] > 0 and each["signature_us"] > 0 for each in found.values())
