"""The rules of violation reports: the path in the policies, and its listener."""

from collections.abc import Iterator
from os.path import normpath

from sidecar.config.model import Config, FileAudit
from sidecar.config.network import in_the_clear, is_loopback
from sidecar.config.problem import Problem
from sidecar.config.reports import FileForward, HttpsForwardSettings


def check_reports(config: Config) -> Iterator[Problem]:
    """Yield the problems of the settings of reports."""
    reports, listen = config.headers.reports, config.listen.reports
    if reports is not None and listen is None:
        yield Problem(
            ("listen", "reports"), "is missing, and headers.reports needs it to receive reports"
        )
    if reports is None and listen is not None:
        yield Problem(
            ("headers", "reports"), "is missing, and without it listen.reports receives no reports"
        )
    if listen is not None and not is_loopback(listen.address):
        yield Problem(
            ("listen", "reports", "address"),
            "must be on loopback or a Unix socket: it trusts Envoy for a client's address",
        )
    if reports is None:
        return
    if isinstance(reports.forward, HttpsForwardSettings) and in_the_clear(reports.forward.url):
        yield Problem(
            ("headers", "reports", "forward", "url"),
            "must be https: reports would cross the network",
        )
    files = [normpath(each.path) for each in config.audit.sinks if isinstance(each, FileAudit)]
    if isinstance(reports.forward, FileForward) and normpath(reports.forward.path) in files:
        yield Problem(
            ("headers", "reports", "forward", "path"),
            "is also the file of audit.to: each would rotate the other's lines away; "
            "write another file",
        )
    if "," in reports.path:
        yield Problem(("headers", "reports", "path"), "has a comma, which would end the policy")
    for index, name in enumerate(reports.silent):
        if name not in config.headers.csp:
            where = ("headers", "reports", "silent", index)
            yield Problem(where, f"{name} is not a profile of headers.csp")
