"""How long the token still lives, where that is known."""

import pytest

from sidecar.vault.metrics import vault_families


@pytest.mark.parametrize(
    ("expires_at", "left"),
    [(None, []), (130.0, [30.0]), (100.0, [0.0]), (90.0, [-10.0])],
    ids=["never or unknown", "lives", "ends now", "has ended"],
)
def test_rows(expires_at: float | None, left: list[float]) -> None:
    families = list(vault_families(expires_at, 100.0))
    assert [sample.value for family in families for sample in family.samples] == left
    assert {family.name for family in families} <= {"septem_vault_token_expires_in_seconds"}
