"""A secret is shown by its place."""

import copy
import json
import logging
import pickle
from collections.abc import Callable

import pytest

from workload.secrets import Secret, SecretsFault

SECRET = Secret("hunter2", "secret/shop, field 'key'")


@pytest.mark.parametrize(
    "shown",
    [
        str(SECRET),
        repr([SECRET]),
        f"{SECRET}",
        f"{SECRET!s:>60}",
        "%s" % SECRET,  # noqa: UP031 - loggers do it so
        json.dumps({"secret": SECRET}, default=str),
        logging.makeLogRecord({"msg": "%s", "args": (SECRET,)}).getMessage(),
    ],
)
def test_it_is_shown_by_its_place(shown: str) -> None:
    assert "hunter2" not in shown
    assert "Secret(secret/shop, field 'key')" in shown


@pytest.mark.parametrize("how", [pickle.dumps, copy.copy, copy.deepcopy, hash])
def test_it_is_not_stored(how: Callable[[Secret], object]) -> None:
    with pytest.raises(SecretsFault, match="secret/shop") as caught:
        how(SECRET)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_compared_by_their_text_and_with_secrets_alone() -> None:
    assert Secret("hunter2", "elsewhere") == SECRET
    assert Secret("hunter3", SECRET.where) != SECRET
    assert SECRET != "hunter2"
    assert SECRET.reveal() == "hunter2"
