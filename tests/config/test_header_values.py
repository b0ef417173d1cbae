"""Header values with a grammar of their own: HSTS, Permissions-Policy, origins."""

import pytest

from sidecar.config.header_values import hsts_problems, origin_problem, permissions_problems
from sidecar.config.headers import HSTS, PERMISSIONS

HSTS_VALUES = [
    (HSTS, None),
    ("max-age=0", None),
    ('MAX-AGE="31536000"; IncludeSubDomains', None),
    ("includeSubDomains", "has no max-age"),
    ("max-age=1; max-age=2", "has a directive twice"),
    ("max-age=1, includeSubDomains", "is not a directive of HSTS"),
    ("max-age=1; incldueSubDomains", "incldueSubDomains".lower() + " is not a directive"),
    ("max-age=-1", "is not a directive of HSTS"),
    ("max-age=31536000;", "'' is not a directive of HSTS"),
    ("max-age=300; includeSubDomains; preload", "preload needs"),
    ("max-age=31536000; preload", "preload needs"),
]


@pytest.mark.parametrize(("value", "said"), HSTS_VALUES)
def test_hsts(value: str, said: str | None) -> None:
    found = list(hsts_problems(value))
    assert found == [] if said is None else said in found[0]


PERMISSION_VALUES = [
    (PERMISSIONS, None),
    ("fullscreen=*, camera=(self), usb=self", None),
    ('geolocation=(self "https://maps.example" "https://*.maps.example")', None),
    ("a-feature-of-tomorrow=()", None),
    ("camera=();report-to=default, usb=*", None),
    ("camera=();x=1", "is not feature=(…)"),
    ("camera", "is not feature=(…)"),
    ("camera=()microphone=()", "is not feature=(…)"),
    ("camera=(), camera=*", "camera is listed twice"),
    ("Camera=()", "'Camera' is not a valid feature name"),
    ("camera=(https://a.example)", "an origin is written in double quotes"),
    ('camera=("a.example")', "is not an origin"),
    ('camera=("http://a.example")', "is not https"),
    ("camera=('self')", "is neither self"),
    ("camera 'none'", "is not feature=(…)"),
    ("camera=(),", "is not feature=(…)"),
]


@pytest.mark.parametrize(("value", "said"), PERMISSION_VALUES)
def test_permissions(value: str, said: str | None) -> None:
    found = list(permissions_problems(value))
    assert found == [] if said is None else said in found[0]


ORIGINS = [
    ("https://a.example", None),
    ("https://*.a.example", None),
    ("https://a.example:8443", None),
    ("http://localhost:3000", None),
    ("http://app.localhost", None),
    ("https://a.example:443", "names the default port"),
    ("http://localhost:80", "names the default port"),
    ("https://a.example:99999", "99999 is not a port"),
    ("http://a.example", "is not https"),
    ("https://A.example", "is not an origin"),
    ("a.example", "is not an origin"),
    ("https://a.*.example", "is not an origin"),
    ("https://*", "is not an origin"),
    ("wss://a.example", "is not an origin"),
]


@pytest.mark.parametrize(("origin", "said"), ORIGINS)
def test_origins(origin: str, said: str | None) -> None:
    found = origin_problem(origin)
    assert found is None if said is None else said in str(found)
