"""A rotation and a restart: the sidecar that was there and the one that was not agree.

Each row is a history of one entry in a real OpenBao. A sidecar polls throughout it, another
is started at its end; both must verify with the same keys, and those must be the right ones.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from demo.openbao import OpenBao
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.config import model
from sidecar.keys.kv_source import KvKeySource
from sidecar.keys.lifecycle import KeyState
from sidecar.keys.refresher import KeyRefresher
from sidecar.keys.sources import KeyFault
from sidecar.tokens.jwk import thumbprint
from sidecar.vault.answers import KvSecret
from sidecar.vault.client import VaultClient
from sidecar.vault.history import KvHistory
from tests.keys.test_sources import KID, PRIVATE_PEM, PUBLIC_PEM
from tests.support.real import LaggingVault, TokenFile

pytestmark = pytest.mark.real
A, B, C = (ec.generate_private_key(ec.SECP256R1()).public_key() for _ in range(3))
KIDS = {thumbprint(key): name for key, name in ((A, "A"), (B, "B"), (C, "C"))}
WINDOW, POLL = 100.0, 10.0


def pem(*keys: ec.EllipticCurvePublicKey) -> str:
    form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    return "".join(key.public_bytes(*form).decode() for key in keys)


class Entry:
    """One entry, and sidecars that read it. ``later`` moves their wall clocks ahead."""

    def __init__(self, bao: OpenBao, token_file: TokenFile) -> None:
        self.kv = bao.client.secrets.kv.v2
        self.path = f"keys/{uuid4().hex}"
        self.later = 0.0
        self._bao = bao
        self._token_file = token_file
        self.may_see_history(sees=True)

    def may_see_history(self, *, sees: bool) -> None:
        policy = f'path "secret/data/{self.path}" {{ capabilities = ["read"] }}\n'
        if sees:
            policy += f'path "secret/metadata/{self.path}" {{ capabilities = ["read"] }}\n'
        self._token_file.write(self._bao.token_for(policy, name=self.path.replace("/", "-")))
        settings = self._token_file.settings(self._bao.address)
        self.vault = VaultClient(settings, clock=monotonic_seconds)

    def write(self, *keys: ec.EllipticCurvePublicKey) -> None:
        self.kv.create_or_update_secret(self.path, {"value": pem(*keys)})

    def write_text(self, text: str) -> None:
        self.kv.create_or_update_secret(self.path, {"value": text})

    def sidecar(self, **settings: Any) -> KeyRefresher:
        def now() -> float:
            return wall_seconds() + self.later

        self.standby = LaggingVault(self.vault)
        source = KvKeySource(
            model.VaultKvKeys(path=self.path),
            "https://iam",
            self.standby,
            now=now,
            retention_seconds=WINDOW + POLL,
        )
        return KeyRefresher(
            [source],
            model.Keys(poll_seconds=POLL, dual_key_seconds=WINDOW, **settings),
            token_seconds={source.issuer: 930},
            clock=lambda: monotonic_seconds() + self.later,
            now=now,
            jitter=lambda: 0.0,
            publish=lambda _view: None,
            on_state=lambda _before, _after, _why: None,
        )


@pytest.fixture
def entry(openbao: OpenBao, token_file: TokenFile) -> Entry:
    return Entry(openbao, token_file)


def verifying(refresher: KeyRefresher) -> str:
    return "".join(sorted(KIDS[key.kid] for key in refresher.view.ring))


def rotated(entry: Entry) -> None:
    entry.write(B)


def rotated_twice(entry: Entry) -> None:
    entry.write(B)
    entry.write(C)


def rotated_while_it_was_cut_off(entry: Entry) -> None:
    """The signer may have been cut off as well: who sees it late gives it the whole window."""
    entry.write(B)
    entry.later = WINDOW + POLL + 1


def rotated_just_inside_the_window(entry: Entry) -> None:
    entry.write(B)
    entry.later = WINDOW + POLL - 5


def written_again(entry: Entry) -> None:
    entry.write(B)
    entry.write(B)


def both_listed(entry: Entry) -> None:
    entry.write(A, B)


def both_then_one(entry: Entry) -> None:
    entry.write(A, B)
    entry.write(B)


def rolled_back(entry: Entry) -> None:
    entry.write(B)
    entry.write(A)


def garbage_between(entry: Entry) -> None:
    entry.write_text("-----BEGIN nothing")
    entry.write(B)


def old_version_destroyed(entry: Entry) -> None:
    entry.write(B)
    entry.kv.destroy_secret_versions(entry.path, [1])


def old_version_deleted(entry: Entry) -> None:
    entry.write(B)
    entry.kv.delete_secret_versions(entry.path, [1])


def one_of_two_old_destroyed(entry: Entry) -> None:
    entry.write(B)
    entry.write(C)
    entry.kv.destroy_secret_versions(entry.path, [1])


def deletion_lies_ahead(entry: Entry) -> None:
    """Every version has a time of deletion, which has not come."""
    entry.kv.update_metadata(entry.path, delete_version_after="720h")
    entry.write(B)
    entry.write(C)


def deleted_where_it_stood_and_alive_elsewhere(entry: Entry) -> None:
    """The first version is gone, and its key stands in the second too, which is not."""
    entry.write(A, B)
    entry.write(C)
    entry.kv.delete_secret_versions(entry.path, [1])


def removed_and_made_anew(entry: Entry) -> None:
    entry.kv.delete_metadata_and_all_versions(entry.path)
    entry.write(C)


def removed_and_made_anew_twice(entry: Entry) -> None:
    """The count is above the one that was read, and yet it is another entry."""
    entry.kv.delete_metadata_and_all_versions(entry.path)
    entry.write(C)
    entry.write(B)


ROWS: list[tuple[Callable[[Entry], None], str, str]] = [
    (rotated, "AB", "AB"),
    (rotated_twice, "ABC", "ABC"),
    (rotated_just_inside_the_window, "AB", "AB"),
    (rotated_while_it_was_cut_off, "AB", "B"),
    (written_again, "AB", "AB"),
    (both_listed, "AB", "AB"),
    (both_then_one, "B", "B"),
    (rolled_back, "A", "A"),
    (garbage_between, "AB", "AB"),
    (old_version_destroyed, "B", "B"),
    (old_version_deleted, "B", "B"),
    (one_of_two_old_destroyed, "BC", "BC"),
    (deletion_lies_ahead, "ABC", "ABC"),
    (deleted_where_it_stood_and_alive_elsewhere, "ABC", "ABC"),
    (removed_and_made_anew, "C", "C"),
    (removed_and_made_anew_twice, "BC", "BC"),
]
"""What happens, then who verifies in the sidecar that was there, and in the one started after."""


@pytest.mark.parametrize(
    ("happens", "there", "started"), ROWS, ids=[row[0].__name__ for row in ROWS]
)
async def test_a_sidecar_that_was_restarted_agrees_with_one_that_was_not(
    entry: Entry, happens: Callable[[Entry], None], there: str, started: str
) -> None:
    entry.write(A)
    running = entry.sidecar()
    await running.load()
    happens(entry)
    fresh = entry.sidecar()
    await fresh.load()
    for _ in range(2):  # what is deleted is seen once the rotation was
        await running.refresh()
        await fresh.refresh()
    assert (verifying(running), verifying(fresh)) == (there, started)
    assert {running.view.state, fresh.view.state} == {KeyState.ACTIVE}
    entry.later += WINDOW + POLL + 1
    await running.refresh()
    await fresh.refresh()
    assert verifying(running) == verifying(fresh), "and the windows have ended in both"
    assert len(verifying(fresh)) == (2 if happens is both_listed else 1)
    await entry.vault.close()


async def test_what_is_destroyed_later_stops_with_the_next_poll_of_both(entry: Entry) -> None:
    entry.write(A)
    running = entry.sidecar()
    await running.load()
    entry.write(B)
    fresh = entry.sidecar()
    await fresh.load()
    await running.refresh()
    assert verifying(running) == verifying(fresh) == "AB"
    entry.kv.destroy_secret_versions(entry.path, [1])
    await running.refresh()
    await fresh.refresh()
    assert verifying(running) == verifying(fresh) == "B"
    await entry.vault.close()


@pytest.mark.parametrize("how", ["denied by configuration", "revoked"])
async def test_a_key_before_that_is_denied_does_not_come_back(entry: Entry, how: str) -> None:
    entry.write(A)
    entry.write(B)
    kid = thumbprint(A)
    fresh = entry.sidecar(denied_kids=(kid,) if how != "revoked" else ())
    if how == "revoked":
        fresh.revoke(frozenset({kid}))
    await fresh.load()
    assert verifying(fresh) == "B"
    if how == "revoked":
        fresh.revoke(frozenset())
        assert verifying(fresh) == "AB", "it was only held back"
    await entry.vault.close()


async def test_an_entry_that_keeps_one_version_says_what_that_costs(
    entry: Entry, caplog: pytest.LogCaptureFixture
) -> None:
    entry.kv.update_metadata(entry.path, max_versions=1)
    entry.write(A)
    running = entry.sidecar()
    await running.load()
    entry.write(B)
    await running.refresh()
    assert verifying(running) == "AB", "what was pushed out was not deleted"
    fresh = entry.sidecar()
    await fresh.load()
    assert verifying(fresh) == "B"
    assert "max_versions" in caplog.text
    await entry.vault.close()


async def test_without_the_right_to_see_the_past_it_starts_and_names_the_line(
    entry: Entry, caplog: pytest.LogCaptureFixture
) -> None:
    entry.may_see_history(sees=False)
    entry.write(A)
    entry.write(B)
    fresh = entry.sidecar()
    await fresh.load()
    for _ in range(3):
        await fresh.refresh()
    assert verifying(fresh) == "B"
    said = [r.getMessage() for r in caplog.records if "history" in r.getMessage()]
    assert len(said) == 1
    assert f'path "secret/metadata/{entry.path}" {{ capabilities = ["read"] }}' in said[0]
    await entry.vault.close()


async def test_a_standby_that_lags_withdraws_no_key(entry: Entry) -> None:
    """It lists the key before, and not the one that tokens are signed with."""
    entry.write(A)
    running = entry.sidecar()
    await running.load()
    entry.standby.remember()
    entry.write(B)
    assert await running.refresh() is KeyState.ACTIVE
    entry.standby.lags = True
    assert await running.refresh() is KeyState.OUTAGE
    assert "does a standby lag" in running.statuses[0].status.problem
    assert verifying(running) == "AB"
    entry.standby.lags = False
    assert await running.refresh() is KeyState.ACTIVE
    assert verifying(running) == "AB"


async def test_keys_that_could_not_be_published_are_with_the_next_round(entry: Entry) -> None:
    entry.write(A)
    running = entry.sidecar()
    published: list[str] = []

    def fail(_view: object) -> None:
        raise ValueError("a defect")

    running._publish = fail
    with pytest.raises(ValueError, match="a defect"):
        await running.load()
    running._publish = lambda _view: published.append("told")
    await running.refresh()
    assert published == ["told"]
    assert verifying(running) == "A"


class OneVersion:
    """A Vault whose entry has one version, of any content: a real one refuses some of these."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.secret = KvSecret(data, 1)

    async def read_kv(self, mount: str, path: str) -> KvSecret:
        assert (mount, path) == ("secret", "iam/jwt-signing-key")
        return self.secret

    async def read_kv_at(self, mount: str, path: str, version: int) -> KvSecret:
        raise AssertionError((mount, path, version))

    async def read_kv_history(self, mount: str, path: str) -> KvHistory:
        raise AssertionError((mount, path))


def kv_source(vault: OneVersion) -> KvKeySource:
    settings = model.VaultKvKeys()
    return KvKeySource(settings, "https://iam", vault, now=lambda: 1000.0, retention_seconds=940.0)


async def test_a_source_reads_its_field() -> None:
    source = kv_source(OneVersion({"value": PUBLIC_PEM}))
    assert [(key.kid, key.issuer) for key in (await source.fetch()).keys] == [(KID, "https://iam")]


NO_KEYS = {"none": {}, "no text": {"value": 5}, "garbage": {"value": PRIVATE_PEM[:99]}}


@pytest.mark.parametrize("data", NO_KEYS.values(), ids=NO_KEYS)
async def test_a_source_names_the_entry_and_shows_none_of_it(data: dict[str, Any]) -> None:
    source = kv_source(OneVersion(data))
    with pytest.raises(KeyFault, match="secret/iam/jwt-signing-key") as fault:
        await source.fetch()
    assert "MIG" not in str(fault.value)
