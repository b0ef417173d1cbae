"""The connection limits of all listeners together."""

import logging

import pytest

from sidecar.config import model
from sidecar.config.reports import ReportsListen
from sidecar.transport import listener_bounds
from sidecar.transport.descriptors import CHECKS, OWN, DescriptorFault, of_worker
from sidecar.transport.listener_bounds import ADMIN, REPORTS, SDS, bound_connections, of_main

LISTENS = {
    "Checks alone": model.Listen(),
    "everything": model.Listen(
        sds=model.SdsListen(address="unix:/run/sds.sock"), reports=ReportsListen()
    ),
    "other hosts": model.Listen(
        sds=model.SdsListen(mtls=model.SdsMtls(certificate="a", trust_bundle="b")),
        reports=ReportsListen(),
    ),
    "workers": model.Listen(
        authz=model.AuthzListen(workers=64), sds=model.SdsListen(), reports=ReportsListen()
    ),
}


@pytest.mark.parametrize("limit", [1024, 4096, 65_536])
@pytest.mark.parametrize("listen", LISTENS.values(), ids=LISTENS)
def test_all_listeners_together_stay_below_the_limit(listen: model.Listen, limit: int) -> None:
    bounds = of_main(listen, limit)
    is_guarded = listen.sds and (listen.sds.address.startswith("unix:") or listen.sds.mtls)
    each = {SDS: 3 if is_guarded else 1}
    taken = sum(count * each.get(name, 1) for name, count in bounds.items())
    assert taken + OWN <= limit
    assert (CHECKS in bounds) is (listen.authz.workers == 1)
    assert (SDS in bounds, REPORTS in bounds) == (listen.sds is not None,) * 2
    assert bounds[ADMIN] == 64
    assert 100 < of_worker(limit) < limit - 40
    if limit == 65_536:
        assert bounds.get(CHECKS, 1024) == of_worker(limit) == 1024


def test_what_is_configured_and_does_not_fit_is_refused() -> None:
    listen = model.Listen(reports=ReportsListen(max_connections=4096))
    assert of_main(listen, 8192)[REPORTS] == 4096
    with pytest.raises(DescriptorFault, match=r"reports 4096.*lower listen\.reports"):
        of_main(listen, 4096)


@pytest.mark.parametrize(("limit", "warned"), [(1024, True), (65_536, False)])
def test_a_low_limit_is_warned_of_with_what_it_allows(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, limit: int, warned: bool
) -> None:
    monkeypatch.setattr(listener_bounds, "raise_limit", lambda: limit)
    with caplog.at_level(logging.WARNING):
        bounds = bound_connections(LISTENS["everything"])
    assert bounds == of_main(LISTENS["everything"], limit)
    assert bool(caplog.messages) is warned
    if warned:
        assert f"{bounds[SDS]} connections of 256 for SDS" in caplog.text
        assert "the admin port" not in caplog.text, "it has what it needs"


def test_workers_need_descriptors_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_bounds, "raise_limit", lambda: 40)
    listen = model.Listen(authz=model.AuthzListen(workers=2))
    with pytest.raises(DescriptorFault):
        bound_connections(listen)
