"""Which answer of Vault is older than one before."""

import pytest

from sidecar.vault.errors import VaultStale
from sidecar.vault.newest import NewestVersion

ROWS: list[tuple[str, list[tuple[int, float]], str]] = [
    ("the same again", [(2, 20.0), (2, 20.0)], "  "),
    ("a newer one", [(2, 20.0), (3, 30.0)], "  "),
    ("a standby that lags", [(2, 20.0), (1, 10.0), (2, 20.0)], " ! "),
    ("now and then", [(2, 20.0), (1, 10.0), (1, 10.0), (2, 20.0), (1, 10.0)], " !! !"),
    ("removed and made anew", [(2, 20.0), (1, 30.0), (1, 30.0)], "   "),
    ("removed and made anew at the same moment", [(2, 20.0), (1, 20.0)], "  "),
    ("leaders whose clocks differ", [(2, 20.0), (3, 19.0)], "  "),
    ("a backup was restored", [(2, 20.0), (1, 10.0), (1, 10.0), (1, 10.0), (1, 10.0)], " !!  "),
    ("and written to", [(2, 20.0), (1, 10.0), (2, 40.0), (2, 20.0)], " !  "),
]
"""Versions and when they were written, in the order of the answers; ``!`` for each refused."""


@pytest.mark.parametrize(
    ("answers", "refused"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_an_older_answer_is_refused(answers: list[tuple[int, float]], refused: str) -> None:
    newest, seen = NewestVersion(), ""
    for version, written_at in answers:
        try:
            newest.take("entry", version, written_at)
        except VaultStale:
            seen += "!"
        else:
            seen += " "
    assert seen == refused
