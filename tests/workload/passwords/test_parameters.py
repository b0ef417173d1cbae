"""What a hash may cost."""

import pytest

from workload.passwords.parameters import MODEL_PARAMETERS, Argon2Parameters
from workload.settings import SettingsFault


def test_the_model_s_parameters_are_the_default() -> None:
    model = Argon2Parameters(time_cost=1, memory_kib=64 * 1024, lanes=4, digest_bytes=32)
    assert model == MODEL_PARAMETERS == Argon2Parameters()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time_cost", [0, -1, 65, True, 1.0, "1"]),
        ("memory_kib", [0, 7, 31, 1_048_577]),  # four lanes need 32
        ("lanes", [0, 17]),
        ("digest_bytes", [0, 15, 65]),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_name(name: str, values: list[object]) -> None:
    for value in values:
        given: dict[str, object] = {name: value}
        with pytest.raises(SettingsFault, match=name):
            Argon2Parameters(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("passes", "memory_kib", "weak"),
    [(1, 65_536, False), (2, 19_456, False), (5, 7_168, False), (5, 7_167, True), (1, 4096, True)],
)
def test_weaker_than_the_least_of_owasp(passes: int, memory_kib: int, weak: bool) -> None:
    assert Argon2Parameters(passes, memory_kib, 1).is_weak() is weak
