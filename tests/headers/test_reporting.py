"""Browsers are told where to report, in both generations, and only by policies of pages."""

from sidecar.headers.reporting import endpoints, with_reporting

PATH, GROUP = "/.well-known/septem/csp-reports", "septem-csp"


def test_both_generations() -> None:
    policy = with_reporting({"default-src": ("'none'",)}, PATH, GROUP)
    assert policy == {
        "default-src": ("'none'",),
        "report-uri": (PATH,),
        "report-to": (GROUP,),
    }
    assert endpoints(PATH, GROUP) == f'{GROUP}="{PATH}"'.encode()


def test_a_policy_with_an_endpoint_of_its_own_keeps_it() -> None:
    own = {"default-src": ("'none'",), "report-uri": ("https://collector.example/r",)}
    assert with_reporting(own, PATH, GROUP) == own
