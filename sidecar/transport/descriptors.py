"""Open files: how many there may be, and how many connections of each kind fit.

Who holds more connections than there are descriptors keeps everything else of the process from
opening one: a poll of Vault, a worker's pipe, a health probe. So each listener has a bound,
together they stay below the limit that is really there, and a reserve is left for the rest.
"""

import contextlib
import resource
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sidecar.common.errors import Fault
from sidecar.transport import h2

CHECKS = "Checks"
WANTED_LIMIT = 65_536
"""The soft limit is raised so far, where the hard one allows it."""
OWN = 96
"""Left for the process itself: its log, Vault, sinks, webhooks, what Python opens."""
OF_A_WORKER = 5
"""A worker's channel and pipes in the main process, and a successor's while both are there."""
OWN_OF_WORKER = 48


class DescriptorFault(Fault):
    """What is configured needs more open files than there may be."""


class Demand(NamedTuple):
    """What one listener asks for: how many connections, and at the least how many.

    Each connection takes ``each`` descriptors.
    """

    name: str
    wanted: int
    least: int
    each: int = 1


OF_CHECKS = Demand(CHECKS, h2.MAX_CONNECTIONS, 32)


def raise_limit() -> int:
    """Raise the soft limit of open files towards the hard one; return what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = WANTED_LIMIT if hard == resource.RLIM_INFINITY else min(hard, WANTED_LIMIT)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            return most
    return WANTED_LIMIT if soft == resource.RLIM_INFINITY else soft


def allot(limit: int, own: int, demands: Iterable[Demand]) -> Mapping[str, int]:
    """Return how many connections each listener may hold, by its name.

    ``own`` descriptors are left over. Where there are too few for everybody's wish, each has
    its least and the same part of what it wants beyond. Raise ``DescriptorFault`` where there
    are too few for that.
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
    beyond = sum((each.wanted - each.least) * each.each for each in listed)
    left = min(limit - least, beyond)
    return {
        each.name: each.least + (each.wanted - each.least) * left // max(1, beyond)
        for each in listed
    }


def of_worker(limit: int) -> int:
    """Return how many connections a worker takes. Raise ``DescriptorFault``."""
    return allot(limit, OWN_OF_WORKER, [OF_CHECKS])[CHECKS]
