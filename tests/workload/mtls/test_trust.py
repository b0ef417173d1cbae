"""Whom a service believes, by where its roots are written."""

from typing import Any, cast

import pytest

from tests.support.authorities import Ca, pem
from workload.mtls import PkiRole, PkiRoots, TokenFileLogin, Trust, VaultServer, Workload
from workload.vault.client import RootPems

ROOT = Ca("platform")
LOWER = Ca("lower", parent=ROOT)


class Roots:
    """Says of one chain that somebody listed it, or that Vault's PKI gave it."""

    def __init__(self, *, listed: bool) -> None:
        self._listed = listed

    async def read_roots(self, _roots: Any) -> RootPems:
        chain = "\n".join(pem(each) for each in (LOWER.certificate, ROOT.certificate))
        return RootPems((chain,), (), listed=self._listed)


@pytest.mark.parametrize(("listed", "count"), [(True, 2), (False, 1)])
async def test_what_is_listed_is_an_anchor_and_of_a_chain_the_root_is(
    listed: bool, count: int
) -> None:
    server = VaultServer("https://vault", TokenFileLogin("/none"))
    me = Workload(server, PkiRole("service"), Trust(PkiRoots()), spiffe_id="spiffe://d/a")
    me._vault = cast("Any", Roots(listed=listed))
    assert (await me._read_trust()).roots_pem.count(b"BEGIN") == count
