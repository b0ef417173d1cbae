"""The rules of violation reports: a path that browsers are told of, and who answers there."""

from collections.abc import Iterator

from sidecar.config.model import Config
from sidecar.config.network import in_the_clear, is_loopback
from sidecar.config.problem import Problem
from sidecar.config.reports import HttpsForwardSettings


def check_reports(config: Config) -> Iterator[Problem]:
    """Yield what does not fit together."""
    reports, listen = config.headers.reports, config.listen.reports
    if reports is not None and listen is None:
        yield Problem(("listen", "reports"), "is missing, and headers.reports invites browsers")
    if reports is None and listen is not None:
        yield Problem(("headers", "reports"), "is missing, and listen.reports waits for reports")
    if listen is not None and not is_loopback(listen.address):
        yield Problem(
            ("listen", "reports", "address"),
            "must be on loopback or a Unix socket: it believes Envoy what a client's address is",
        )
    if reports is None:
        return
    if isinstance(reports.forward, HttpsForwardSettings) and in_the_clear(reports.forward.url):
        yield Problem(
            ("headers", "reports", "forward", "url"),
            "must be https: reports would cross the network",
        )
    if "," in reports.path:
        yield Problem(("headers", "reports", "path"), "has a comma, which would end the policy")
    for index, name in enumerate(reports.silent):
        if name not in config.headers.csp:
            where = ("headers", "reports", "silent", index)
            yield Problem(where, f"{name} is no profile of headers.csp")
