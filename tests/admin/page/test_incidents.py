"""Incidents, served by a real sidecar: the page alone says which, since when, and what to do.

A browser without a script is enough: each is read from the HTML of the first page.
"""

import re
import shutil
import signal
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple

import pytest

from demo.openbao import SIDECAR_POLICY, OpenBao
from sidecar.common.clock import wall_seconds
from tests.admin.page.served import KEY_PATH, Served
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    (folder / "bao").mkdir()
    openbao = OpenBao(folder / "bao")
    try:
        running = Served(folder, openbao)
        try:
            yield running
        finally:
            running.stop()
    finally:
        openbao.stop()


class Incident(NamedTuple):
    """What is broken, how it is mended, and what the page then says of it."""

    part: str
    breaks: Callable[[Served], object]
    mends: Callable[[Served], object]
    wrong: str
    do: str
    follows: str = ""
    """What fails only because of this, and is not said to be another problem."""
    is_over: bool = True
    """Whether nothing is said of it once it is mended."""


def reload_with(old: str, new: str) -> Callable[[Served], object]:
    """Have the file say something else, and press the button that reloads it."""

    def change(served: Served) -> object:
        text = served.config()
        assert old in text
        served.path.write_text(text.replace(old, new.replace("KID", served.kid)))
        return served.page.act("/page", "reload")

    return change


def restore(served: Served) -> object:
    served.path.write_text(served.config())
    return served.page.act("/page", "reload")


def lose_the_folder(served: Served) -> None:
    """As if its disk were gone; logrotate asks for the file again."""
    shutil.rmtree(served.folder / "log")
    served.process.signal(signal.SIGHUP)
    served.deny()  # nothing writes a line by itself


def kill_twice(served: Served) -> None:
    for _ in range(2):
        served.kill_worker()


def lose_the_role(served: Served) -> None:
    served.openbao.client.secrets.pki.delete_role("edge")
    served.page.act("/page/certificates", "renew", "edge")


def make_the_role(served: Served) -> None:
    served.openbao.client.secrets.pki.create_or_update_role(
        "edge", extra_params={"allow_localhost": True, "key_type": "ec"}
    )


INCIDENTS = {
    "Vault refuses the token": Incident(
        "keys/https://iam.septemcore.com",
        lambda served: served.token_file.write(
            served.openbao.token_for('path "secret/none" { capabilities = ["read"] }', name="other")
        ),
        lambda served: served.token_file.write(served.openbao.token_for(SIDECAR_POLICY)),
        "permission denied",
        "policy",
    ),
    "the key's entry has no key": Incident(
        "keys/https://iam.septemcore.com",
        lambda served: served.openbao.put_key("no key"),
        lambda served: served.openbao.put_key(served.pem),
        KEY_PATH,
        "read again",
    ),
    "the key's entry is gone": Incident(
        "keys/https://iam.septemcore.com",
        lambda served: served.openbao.client.secrets.kv.v2.delete_metadata_and_all_versions(
            KEY_PATH
        ),
        lambda served: served.openbao.put_key(served.pem),
        "nothing exists there",
        "Write the entry again",
    ),
    "no key verifies": Incident(
        "no-keys/https://iam.septemcore.com",
        reload_with("poll_seconds: 0.2", "poll_seconds: 0.2, denied_kids: ['KID']"),
        restore,
        "every token of this issuer is denied",
        "denied_kids",
    ),
    "a reload is refused": Incident(
        "config",
        reload_with("path_prefix: /}", "path_prefix: /, auth: requird}"),
        restore,
        "routes[0].auth: must be one of: required, optional, none",
        "sidecar config check",
    ),
    "the audit log's folder is gone": Incident(
        "audit-sink",
        lose_the_folder,
        lambda served: (served.folder / "log").mkdir(),
        "No such file or directory",
        "mend the sink",
    ),
    "a worker is killed again and again": Incident(
        "worker/0",
        kill_twice,
        lambda _served: None,
        "exit code -9",
        "dmesg",
        is_over=False,
    ),
    "a certificate can't be renewed": Incident(
        "certificates",
        lose_the_role,
        make_the_role,
        "can't be renewed",
        "ordered again",
    ),
    "Vault is sealed": Incident(
        "vault",
        lambda served: served.openbao.client.sys.seal(),
        lambda served: served.openbao.unseal(),
        "Vault is sealed",
        "vault operator unseal",
        "keys/https://iam.septemcore.com",
    ),
    "Vault is down": Incident(
        "vault",
        lambda served: served.openbao.stop(),
        lambda served: served.openbao.start_again(),
        "cannot be reached",
        "Bring Vault back",
        "keys/https://iam.septemcore.com",
    ),
}


@pytest.mark.parametrize("name", INCIDENTS)
def test_the_page_alone_says_which_since_when_and_what_to_do(served: Served, name: str) -> None:
    incident, page = INCIDENTS[name], served.page

    def parts() -> list[str]:
        return [part for part in page.parts() if not part.startswith("worker/")]

    wait_until(lambda: not parts(), explain=parts)  # what broke before may still be mending
    began = wall_seconds()
    incident.breaks(served)
    wait_until(lambda: incident.part in page.parts())
    if incident.follows:
        wait_until(lambda: incident.follows in page.parts())
    wait_until(lambda: incident.wrong in page.text(), explain=page.text)
    said = page.text()
    assert said.startswith("Ready, and something needs you")
    for words in ("Since", "What to do", incident.do):
        assert words in said
    found = next(each for each in page.document()["findings"] if each["part"] == incident.part)
    since = re.fullmatch(r"(\d+-\d+-\d+)T(\d+:\d+:\d+)\+00:00", found["since"])
    assert since is not None
    assert since[2] in said
    assert incident.follows in {"", *(each["part"] for each in found["follows"])}
    assert abs(_seconds(found["since"]) - began) < 60
    incident.mends(served)
    if incident.is_over:
        wait_until(lambda: incident.part not in page.parts())


def _seconds(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()
