"""What a reload obtains before anything changes: what differs, in time, or nothing at all."""

import asyncio
from typing import Any

import pytest

from sidecar.certificates.issuers.base import Issuers
from sidecar.certificates.managed import reloading
from sidecar.certificates.managed.parts import CertificateParts, wanted_certificates
from sidecar.certificates.managed.reloading import prepare_certificates, some_names
from sidecar.certificates.managed.revocation import CrlFault, RevocationWatch
from sidecar.common.errors import Fault
from sidecar.config import model, parse_config
from tests.config.test_certificates import PKI, text
from tests.support.managed_world import World

EDGE = "{name: edge, issuer: internal, common_name: a.example}"
OTHER = "{name: other, issuer: internal, common_name: b.example}"


class Reload:
    """A manager with what the first file names, and the parts of the files."""

    def __init__(self, first: str = EDGE) -> None:
        config = parse_config(text(PKI, first), "test.yaml")
        wanted = [order for order, _ in wanted_certificates(config, Issuers({"internal": self}))]  # type: ignore[dict-item]
        self.world = World(*wanted)
        self.before = self.parts(first)

    def parts(
        self, certificates: str, issuer: str = PKI, watches: dict[Any, Any] | None = None
    ) -> CertificateParts:
        factory: Any = None
        config = parse_config(text(issuer, certificates), "test.yaml")
        issuers = Issuers({"internal": self.world})
        return CertificateParts(config, factory, issuers, watches or {}, {})

    async def prepared(self, parts: CertificateParts) -> tuple[list[str], list[str]]:
        """The names that were obtained, and those that stay."""
        found = await prepare_certificates(self.before, parts, self.world.manager)
        return [each.managed.name for each in found.obtained], [name for name, _ in found.kept]


CHANGES: list[tuple[str, str, str, tuple[list[str], list[str]]]] = [
    ("nothing", EDGE, PKI, ([], ["edge"])),
    ("one more", f"{EDGE}, {OTHER}", PKI, (["other"], ["edge"])),
    ("one in place of another", OTHER, PKI, (["other"], [])),
    ("a name more", EDGE.replace("}", ", alt_names: [c.example]}"), PKI, (["edge"], [])),
    ("how it is probed", EDGE.replace("}", ", probe: {address: '127.0.0.1:1'}}"), PKI,
     ([], ["edge"])),
    ("who signs", EDGE, PKI.replace("role: edge", "role: other"), (["edge"], [])),
]  # fmt: skip


@pytest.mark.parametrize("row", CHANGES, ids=[row[0] for row in CHANGES])
async def test_what_is_obtained(row: tuple[str, str, str, tuple[list[str], list[str]]]) -> None:
    _, certificates, issuer, expected = row
    reload = Reload()
    await reload.world.manager.obtain_all()
    served = reload.world.store.get("edge")
    assert await reload.prepared(reload.parts(certificates, issuer)) == expected
    assert reload.world.store.get("edge") is served, "nothing is served before it is in force"
    assert reload.world.store.get("other") is None


async def test_a_fault_of_one_is_the_fault_of_all() -> None:
    reload = Reload()
    await reload.world.manager.obtain_all()
    reload.world.failing = Fault("Vault is away")
    changed = EDGE.replace("a.example", "c.example")
    with pytest.raises(Fault, match="certificate 'edge', issuer 'internal': Vault is away"):
        await reload.prepared(reload.parts(f"{changed}, {OTHER}"))


async def test_an_issuer_that_hangs_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reload = Reload(OTHER)
    await reload.world.manager.obtain_all()
    monkeypatch.setattr(reloading, "PREPARE_SECONDS", 0.01)
    reload.world.stuck = asyncio.Event()
    with pytest.raises(Fault, match="'edge' could not be obtained within"):
        await reload.prepared(reload.parts(f"{EDGE}, {OTHER}"))


async def test_crls_of_a_new_issuer_are_read_first() -> None:
    async def away(_mount: str) -> tuple[str, ...]:
        raise Fault("Vault is away")

    async def sleep(_seconds: float) -> None: ...

    reload = Reload()
    parts = reload.parts(f"{EDGE}, {OTHER}")
    (settings,) = parts.config.issuers
    assert isinstance(settings, model.VaultPkiIssuer)
    parts = parts._replace(
        watches={settings: RevocationWatch(settings, away, sleep=sleep, jitter=lambda: 0.0)}
    )
    with pytest.raises(CrlFault, match="Vault is away"):
        await reload.prepared(parts)
    assert reload.world.attempts == 0


@pytest.mark.parametrize(
    ("count", "shown"), [(1, "0"), (5, "0, 1, 2, 3, 4"), (7, "0, 1, 2, 3, 4 and 2 more")]
)
def test_the_first_few_names(count: int, shown: str) -> None:
    assert some_names([str(number) for number in range(count)]) == shown


async def test_what_is_adopted_is_served_and_renewed() -> None:
    reload = Reload()
    manager = reload.world.manager
    await manager.obtain_all()
    found = await prepare_certificates(reload.before, reload.parts(f"{EDGE}, {OTHER}"), manager)
    manager.adopt(found.obtained)
    served = reload.world.store.get("other")
    assert served is not None
    assert [each.name for each in manager] == ["edge", "other"]
    await reload.world.run_until(3600.0)
    renewed = reload.world.store.get("other")
    assert renewed is not None
    assert renewed.serial != served.serial
