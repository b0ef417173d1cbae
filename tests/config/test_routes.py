"""What a route's settings say of what Envoy must send."""

import pytest

from sidecar.config.routes import BindingSettings, RouteSettings


@pytest.mark.parametrize(
    ("route", "bound_by", "reads_certificate"),
    [
        (RouteSettings(name="a"), (), False),
        (RouteSettings(name="a", clients=("a.example",)), (), True),
        (RouteSettings(name="a", binding=BindingSettings(by=("dpop",))), ("dpop",), False),
        (
            RouteSettings(name="a", binding=BindingSettings(by=("certificate",))),
            ("certificate",),
            True,
        ),
    ],
)
def test_what_envoy_must_send(
    route: RouteSettings, bound_by: tuple[str, ...], reads_certificate: bool
) -> None:
    assert (route.bound_by, route.reads_certificate) == (bound_by, reads_certificate)
