"""The settings of violation reports (SECURITY-MODEL §6)."""

from typing import Annotated

from msgspec import Meta

from sidecar.config.base import (
    Address,
    CallSeconds,
    CanonicalPath,
    FilePath,
    Label,
    RotatedFile,
    SecretUrl,
    Settings,
    text,
)

Rate = Annotated[float, Meta(gt=0, le=100_000)]


class ReportsListen(Settings, frozen=True):
    """Where Envoy sends what browsers report. Loopback only: clients' addresses come from it."""

    address: Address = "127.0.0.1:9103"
    max_body_bytes: Annotated[int, Meta(ge=1024, le=1_048_576)] = 65_536
    max_connections: Annotated[int, Meta(ge=1, le=4096)] = 128


class FileForward(RotatedFile, frozen=True, tag_field="sink", tag="file"):
    """Reports as JSON lines appended to a file; rotated like the audit log."""


class HttpsForwardSettings(Settings, frozen=True, tag_field="sink", tag="https"):
    """Reports posted as JSON arrays."""

    url: SecretUrl
    ca_file: FilePath | None = None
    timeout_seconds: CallSeconds = 5.0


class Reports(Settings, frozen=True):
    """Where browsers report violations, and how many reports are accepted.

    Policies of the profiles in ``silent`` report nothing: their responses are not pages.
    Rates count requests, of all clients and of one (an IPv4 address or an IPv6 /64).
    """

    path: CanonicalPath = "/.well-known/septem/csp-reports"
    group: Annotated[
        str,
        text(
            r"^[a-z*][a-z0-9_.*-]{0,62}$",
            "a name of lower-case letters, digits, _, ., * and -, that begins with a letter or *",
            63,
        ),
    ] = "septem-csp"
    silent: Annotated[tuple[Label, ...], Meta(max_length=256)] = ("api",)
    max_per_second: Rate = 100.0
    burst: Rate = 500.0
    client_max_per_second: Rate = 2.0
    client_burst: Rate = 40.0
    table_rows: Annotated[int, Meta(ge=16, le=4096)] = 512
    keep_latest: Annotated[int, Meta(ge=1, le=1000)] = 100
    queue_reports: Annotated[int, Meta(ge=16, le=1_048_576)] = 4096
    forward: FileForward | HttpsForwardSettings | None = None
