"""The sidecar's Check with its decision cache: leases for Envoys, as the runtime gives them.

Usage: ``python -m bench.servers cached FOLDER``; the leases' socket is FOLDER/leases.sock.
"""

from pathlib import Path

from bench.names import LEASES
from bench.servers import CONFIG, KEPT, audit_log, fast, service
from sidecar.common.clock import monotonic_ns
from sidecar.config import parse_config
from sidecar.context import AppContext
from sidecar.decision_cache import component
from sidecar.decision_cache.deciding import DecidingProcess
from sidecar.observability.component import AlertDelivery


async def serve_cached(folder: Path, address: str) -> str:
    """Serve Checks whose answers Envoys may repeat; audit lines of both go to one file."""
    text = f"{CONFIG}listen: {{authz: {{decision_cache: {{socket: {folder / LEASES}}}}}}}\n"
    context = AppContext(parse_config(text, "bench"))
    audit = audit_log(folder)
    alerts = AlertDelivery(None, context.metrics, context.spawn).alerts
    cache = component.make(context, audit, alerts)
    assert cache is not None, "it is configured"
    checks = service(folder, audit=audit)
    deciding = DecidingProcess(
        cache.control, 0, context.config, checks, cache.credit_policy, clock_ns=monotonic_ns
    )
    cache.on_held = deciding.hold
    deciding.start()
    KEPT.append((cache, deciding))
    where = await fast(checks.handle, address)
    cache.start()
    return where
