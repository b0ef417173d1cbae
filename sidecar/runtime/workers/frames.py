"""The frames between the main process and a worker, each for one direction.

The main process sends the configuration, public keys (``key_frames``), revocations, limits
(``limit_frames``) and commands; a worker sends acknowledgements, counts and log lines. Both ends
must be of one version: ``Start`` names it, and a worker of another version refuses it.
"""

from typing import Annotated, Literal

import msgspec

from sidecar.common.registered_domains import SHARDS
from sidecar.config import model
from sidecar.observability.tracing.tracer import SpanRecord
from sidecar.runtime.workers.framing import Frame
from sidecar.runtime.workers.key_frames import KeysFrame, Revoked
from sidecar.runtime.workers.limit_frames import (
    CreditSlotsFrame,
    LeasesHeld,
    LimitsShares,
    LimitsState,
    LimitsUsed,
    TenantLimitsFrame,
)
from sidecar.runtime.workers.stats import WorkerStats

PROTOCOL = 7
MAX_TEXT = 4096
MAX_TOKENS = 1024
"""The most challenges in one request."""
MAX_SPANS = 256
"""The most spans in one frame."""
LogLevel = Literal[10, 20, 30, 40, 50]


class Start(Frame, frozen=True, tag="start"):
    """To a worker, first: its number, and the address on which it listens.

    ``control`` is the inherited descriptor of the decision cache's memory, and ``proofs`` that of
    the DPoP proofs that were seen; -1 for none. With ``joins`` it takes the port over from a
    worker that shares it (``transport.ports``).
    """

    protocol: int
    number: int
    address: str
    control: int = -1
    joins: bool = False
    proofs: int = -1


class Policies(Frame, frozen=True, tag="policies"):
    """To a worker, second: the configuration; it uses routes, domains, headers and token rules.

    It contains no secret (paths of files at most). Another one is sent for a reload: the worker
    compiles it, acknowledges that, and decides by it from the ``KeysFrame`` on that names its
    number.
    """

    config: model.Config
    number: int = 1


class Domains(Frame, frozen=True, tag="domains"):
    """To a worker: one shard of the tenants' domains, in force from the next Check on."""

    version: int
    shard: Annotated[int, msgspec.Meta(ge=0, lt=SHARDS)]
    owners: dict[str, str]


class TenantTableFrame(Frame, frozen=True, tag="tenant_table"):
    """To a worker: an issuer's table of tenants, as a whole, in force from the next Check on.

    ``mount`` and ``path`` are the entry it was read from: policies of another entry do not use
    it. ``words`` is ``None`` for a table that nothing uses any more.
    """

    version: int
    issuer: str
    mount: str
    path: str
    words: dict[str, str] | None


class Readiness(Frame, frozen=True, tag="readiness"):
    """To a worker: whether the sidecar as a whole is ready; gRPC health follows it."""

    ready: bool


class KnownChallenge(msgspec.Struct, frozen=True, array_like=True):
    """A challenge in flight: what a Check needs of it."""

    token: str
    host: str
    answer: str


class ChallengesReply(Frame, frozen=True, tag="told_challenges"):
    """To a worker: the challenges that are known among those of request ``number``."""

    number: int
    known: tuple[KnownChallenge, ...] = ()


class StatsRequest(Frame, frozen=True, tag="ask"):
    """To a worker: reply with a ``Report``. A worker that does not is considered hung."""

    number: int


class SharePort(Frame, frozen=True, tag="share_port"):
    """To a worker: let a successor's worker join its listener, or nobody any more."""

    shared: bool


class Drain(Frame, frozen=True, tag="drain"):
    """To a worker: answer the calls in flight within ``listen.drain_seconds``, report, and end."""


class Serving(Frame, frozen=True, tag="serving"):
    """From a worker: it listens, and how it is confined (``sidecar.runtime.hardening``)."""

    address: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    hardening: Annotated[str, msgspec.Meta(max_length=1024)] = ""


class VersionRefused(Frame, frozen=True, tag="refused"):
    """From a worker: the ``Fault`` that prevents it from listening."""

    message: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


class Applied(Frame, frozen=True, tag="applied"):
    """From a worker: this version of keys, domains and tables applies from the next Check on."""

    version: int


class Compiled(Frame, frozen=True, tag="compiled"):
    """From a worker: it has compiled the policies of this number, or why it can't."""

    number: int
    problem: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] = ""


class Report(Frame, frozen=True, tag="report"):
    """From a worker: the reply to a ``StatsRequest``, or its final report (number 0)."""

    number: int
    version: int
    stats: WorkerStats = msgspec.field(name="numbers")


class UnknownKid(Frame, frozen=True, tag="unknown_kid"):
    """From a worker: a token names an unknown key; limited in its rate."""


class ChallengesRequest(Frame, frozen=True, tag="wanted_challenges"):
    """From a worker: a client requests these tokens of ACME challenges.

    A worker sends its next request after the reply to this one.
    """

    number: int
    tokens: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=128)], ...],
        msgspec.Meta(max_length=MAX_TOKENS),
    ]


class Spans(Frame, frozen=True, tag="spans"):
    """From a worker: spans of its Checks, for the collector."""

    spans: Annotated[tuple[SpanRecord, ...], msgspec.Meta(max_length=MAX_SPANS)]


class LogLine(Frame, frozen=True, tag="log"):
    """From a worker: a record for the common log; ``level`` is one of Python's five."""

    level: LogLevel
    message: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]


ToWorker = (
    Start
    | Policies
    | Revoked
    | KeysFrame
    | Domains
    | TenantTableFrame
    | Readiness
    | LimitsState
    | TenantLimitsFrame
    | LimitsShares
    | LeasesHeld
    | CreditSlotsFrame
    | ChallengesReply
    | StatsRequest
    | SharePort
    | Drain
)
FromWorker = (
    Serving
    | VersionRefused
    | Applied
    | Compiled
    | Report
    | UnknownKid
    | ChallengesRequest
    | LimitsUsed
    | Spans
    | LogLine
)
