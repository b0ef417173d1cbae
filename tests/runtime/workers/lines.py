"""Audit lines as a worker writes them."""

from sidecar.observability.audit.entry import AuditEntry, encode_entry


def line(number: int = 0, padding: int = 0) -> bytes:
    """Return an audit line, its end included; with ``padding`` it has so many bytes more."""
    whole = encode_entry(
        AuditEntry(
            at=float(number), decision_id=f"d{number}", outcome="deny", reason="token_expired",
            status=401, route="api", latency_us=42,
        )
    )  # fmt: skip
    return whole if not padding else whole[:-2] + b',"detail":"%b"}\n' % (b"x" * padding)


LINE = line()
