"""Limits of open files, and the number of connections of each kind that fit.

If clients held more connections than there are descriptors, nothing else in the process could
open one: a poll of Vault, a worker's pipe, a health probe. So each listener has a limit,
together they stay below the process's actual limit, and a reserve is left for the rest.
"""

import contextlib
import resource
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sidecar.common.errors import Fault
from sidecar.transport import h2

CHECKS = "Checks"
PREFERRED_LIMIT = 65_536
"""The soft limit is raised to this, if the hard limit allows it."""
OWN = 96
"""Reserved for the process itself: its log, Vault, sinks, webhooks, files that Python opens."""
OF_A_WORKER = 5
"""A worker's channel and pipes in the main process, and its successor's at the same time."""
OWN_OF_WORKER = 48


class DescriptorFault(Fault):
    """The configuration needs more open files than are available."""


class Demand(NamedTuple):
    """The demand of one listener: the preferred number of connections, and the minimum.

    Each connection takes ``each`` descriptors.
    """

    name: str
    preferred: int
    least: int
    each: int = 1


OF_CHECKS = Demand(CHECKS, h2.MAX_CONNECTIONS, 32)


def raise_limit() -> int:
    """Raise the soft limit of open files towards the hard one; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = PREFERRED_LIMIT if hard == resource.RLIM_INFINITY else min(hard, PREFERRED_LIMIT)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return PREFERRED_LIMIT if soft == resource.RLIM_INFINITY else soft


def allot(limit: int, own: int, demands: Iterable[Demand]) -> Mapping[str, int]:
    """Return the connection limit of each listener, by name.

    ``own`` descriptors are reserved. If there are too few for all preferences, each listener has
    its minimum and the same share of the rest of its preference. Raise ``DescriptorFault`` if
    there are too few for the minimums.
    """
    listed = tuple(demands)
    least = own + sum(each.least * each.each for each in listed)
    if limit < least:
        takes = ", ".join(f"{each.name} {each.least * each.each}" for each in listed)
        raise DescriptorFault(
            f"the limit of {limit} open files is too low: at least {least} are needed "
            f"({takes}, the process itself {own}); raise it (ulimit -n, LimitNOFILE=), or lower "
            "listen.reports.max_connections"
        )
    beyond = sum((each.preferred - each.least) * each.each for each in listed)
    left = min(limit - least, beyond)
    return {
        each.name: each.least + (each.preferred - each.least) * left // max(1, beyond)
        for each in listed
    }


def of_worker(limit: int) -> int:
    """Return the connection limit of a worker. Raise ``DescriptorFault``."""
    return allot(limit, OWN_OF_WORKER, [OF_CHECKS])[CHECKS]
