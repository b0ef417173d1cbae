"""A path is shown as it is written in the documentation."""

import pytest

from sidecar.config.problem import Path, show_path


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ((), "(the file)"),
        (("vault",), "vault"),
        (("vault", "auth", "method"), "vault.auth.method"),
        (("routes", 2, "auth"), "routes[2].auth"),
        (
            ("headers", "csp", "x", "enforced", 0, "img-src", 1),
            "headers.csp.x.enforced[0].img-src[1]",
        ),
        ((0, "name"), "[0].name"),
    ],
)
def test_show_path(path: Path, shown: str) -> None:
    assert show_path(path) == shown
