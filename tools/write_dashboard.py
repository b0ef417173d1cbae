"""Writes deploy/grafana-dashboard.json: a table of panels, by what an operator asks first.

    python tools/write_dashboard.py [--check]

Every query is kept to the chosen instances (``$i`` below), and every metric is in
docs/operations.md.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

FILE = Path(__file__).parents[1] / "deploy/grafana-dashboard.json"
INSTANCE = 'instance=~"$instance"'
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT, COLUMNS = 8, 7, 3
_SELECTOR = re.compile(r"\$i\b")


class Panel(NamedTuple):
    """One picture: its queries with their legends, in PromQL in which ``$i`` is the instances."""

    title: str
    unit: str
    queries: Sequence[tuple[str, str]]
    kind: str = "timeseries"


def rate(metric: str, by: str, where: str = "") -> str:
    """Return the sum of a counter's rates, by labels."""
    inside = f"$i,{where}" if where else "$i"
    return f"sum by ({by}) (rate({metric}{{{inside}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "") -> str:
    """Return a quantile of a histogram, by labels."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', labels)})"


def quantiles(histogram: str) -> list[tuple[str, str]]:
    """Return the quantiles that are looked at."""
    return [(quantile(each, histogram), f"p{each * 100:g}") for each in (0.5, 0.9, 0.99)]


def increase(metric: str, by: str = "") -> str:
    """Return how much a counter rose, by labels."""
    return f"sum by ({by or 'instance'}) (increase({metric}{{$i}}[$__rate_interval]))"


def total(metric: str, by: str = "instance") -> str:
    """Return a gauge's sum, by labels."""
    return f"sum by ({by}) ({metric}{{$i}})"


HITS, MISSES = (rate(f"septem_token_cache_{each}_total", "instance") for each in ("hits", "misses"))
HIT_SHARE = f"{HITS} / ({HITS} + {MISSES})"
SNAPSHOTS_BEHIND = (
    "septem_snapshot_version{$i} - on (instance) group_right () septem_worker_snapshot_version{$i}"
)
FAILED = 'outcome!="ok"'
ROWS: Mapping[str, Sequence[Panel]] = {
    "Is it well?": (
        Panel("Ready", "short", [("septem_ready{$i}", "{{instance}}")], "stat"),
        Panel(
            "Sources that can't be read",
            "short",
            [("sum by (source) (septem_poll_failing{$i} > 0) or vector(0)", "{{source}}")],
            "stat",
        ),
        Panel(
            "Defects, alerts, reloads that failed",
            "short",
            [
                (increase("septem_internal_faults_total"), "defects"),
                (increase("septem_alerts_total", "severity"), "alert: {{severity}}"),
                ("1 - septem_config_last_reload_successful{$i}", "reload failed: {{instance}}"),
            ],
        ),
    ),
    "Decisions": (
        Panel(
            "Decisions a second", "reqps", [(rate("septem_checks_total", "outcome"), "{{outcome}}")]
        ),
        Panel(
            "Denials a second, by reason",
            "reqps",
            [(rate("septem_checks_total", "reason", 'outcome="deny"'), "{{reason}}")],
        ),
        Panel("Time for one decision", "s", quantiles("septem_check_duration_seconds")),
        Panel(
            "Decisions a second, by route",
            "reqps",
            [(rate("septem_checks_total", "route, outcome"), "{{route}}: {{outcome}}")],
        ),
        Panel(
            "Token cache: share of hits",
            "percentunit",
            [
                (
                    HIT_SHARE,
                    "{{instance}}",
                )
            ],
        ),
        Panel(
            "Over a rate limit, a second",
            "reqps",
            [
                (rate("septem_rate_limited_total", "limit, route"), "{{limit}}: {{route}}"),
                (
                    rate("septem_rate_limit_shadowed_total", "limit, route"),
                    "shadow {{limit}}: {{route}}",
                ),
            ],
        ),
    ),
    "Workers": (
        Panel(
            "Workers that serve, of those there are to be",
            "short",
            [
                ("septem_workers_serving{$i}", "{{instance}} serving"),
                ("septem_workers{$i}", "{{instance}} configured"),
            ],
        ),
        Panel(
            "Processor time of each worker",
            "percentunit",
            [
                (
                    rate("septem_worker_cpu_seconds_total", "instance, worker"),
                    "{{instance}} {{worker}}",
                )
            ],
        ),
        Panel(
            "Restarts, and snapshots behind",
            "short",
            [
                (
                    increase("septem_worker_restarts_total", "worker, reason"),
                    "{{worker}}: {{reason}}",
                ),
                (
                    SNAPSHOTS_BEHIND,
                    "{{instance}} {{worker}} behind",
                ),
            ],
        ),
    ),
    "Keys and revocations": (
        Panel(
            "State of the keys", "short", [("septem_key_state{$i} == 1", "{{instance}}: {{state}}")]
        ),
        Panel(
            "Age of keys and revocations",
            "s",
            [
                ("septem_key_age_seconds{$i}", "{{source}}"),
                ("septem_revocation_age_seconds{$i}", "revocations"),
            ],
        ),
        Panel(
            "Keys that verify, and that are skipped",
            "short",
            [
                ("septem_keys{$i}", "{{issuer}}"),
                ("septem_keys_skipped{$i}", "{{source}} skipped: {{reason}}"),
                ("septem_revocations{$i}", "revocations"),
            ],
        ),
    ),
    "Vault": (
        Panel(
            "Calls a second, by outcome",
            "reqps",
            [
                (
                    rate("septem_vault_calls_total", "operation, outcome"),
                    "{{operation}}: {{outcome}}",
                )
            ],
        ),
        Panel(
            "Time of a call, p99",
            "s",
            [(quantile(0.99, "septem_vault_call_duration_seconds", "operation"), "{{operation}}")],
        ),
        Panel(
            "Life left of the sidecar's token",
            "s",
            [("septem_vault_token_expires_in_seconds{$i}", "{{instance}}")],
        ),
        Panel(
            "Polls that failed, a minute",
            "short",
            [
                (
                    f"60 * {rate('septem_polls_total', 'source, outcome', FAILED)}",
                    "{{source}}: {{outcome}}",
                )
            ],
        ),
    ),
    "Certificates": (
        Panel(
            "Days left",
            "d",
            [
                (
                    "(septem_certificate_not_after_timestamp_seconds{$i} - time()) / 86400",
                    "{{name}}",
                )
            ],
        ),
        Panel(
            "Near their end, revoked, fallen back",
            "short",
            [
                ('septem_certificates{$i,level!="fresh"}', "{{level}}"),
                ("septem_certificate_revoked{$i}", "{{name}} revoked, served: {{served}}"),
                (
                    increase("septem_certificate_fallbacks_total", "issuer"),
                    "fallback of {{issuer}}",
                ),
                (increase("septem_certificate_renewal_failures_total"), "renewals that failed"),
            ],
        ),
        Panel(
            "SDS: streams, refusals",
            "short",
            [
                (total("septem_sds_streams"), "streams of {{instance}}"),
                (increase("septem_sds_nacks_total"), "NACKs"),
                (increase("septem_sds_peers_refused_total"), "peers refused"),
            ],
        ),
        Panel(
            "On demand: names held, orders open",
            "short",
            [
                (total("septem_on_demand_names"), "names of {{instance}}"),
                (total("septem_on_demand_open_orders"), "open orders of {{instance}}"),
                (total("septem_domain_registry_entries"), "registered at {{instance}}"),
            ],
        ),
        Panel(
            "On demand: orders and refusals a minute",
            "short",
            [
                (f"60 * {rate('septem_on_demand_orders_total', 'outcome')}", "order: {{outcome}}"),
                (
                    f"60 * {rate('septem_on_demand_refusals_total', 'reason')}",
                    "refused: {{reason}}",
                ),
            ],
        ),
        Panel(
            "On demand: how long a visitor waits",
            "s",
            quantiles("septem_on_demand_order_duration_seconds"),
        ),
        Panel(
            "Trust, ticket keys, secrets that are not fresh",
            "short",
            [('septem_secret_state{$i,state!="fresh"} == 1', "{{kind}} {{name}}: {{state}}")],
        ),
    ),
    "Audit": (
        Panel(
            "Lines lost",
            "short",
            [
                (increase("septem_audit_lines_dropped_total"), "dropped"),
                (increase("septem_audit_write_errors_total"), "write errors"),
                (increase("septem_audit_spool_dropped_total"), "not spooled"),
                (increase("septem_audit_anonymous_lines_total"), "without pseudonyms"),
            ],
        ),
        Panel(
            "Sinks: lines waiting, age of the oldest",
            "short",
            [
                ("septem_audit_sink_lines_waiting{$i}", "{{sink}} waiting"),
                ("septem_audit_sink_oldest_seconds{$i}", "{{sink}} oldest (s)"),
                ("septem_audit_sink_failing{$i}", "{{sink}} failing"),
            ],
        ),
        Panel(
            "Spool: share of its bound",
            "percentunit",
            [
                ("septem_audit_spool_bytes{$i} / septem_audit_spool_max_bytes{$i}", "{{instance}}"),
                ("septem_audit_spool_failing{$i}", "{{instance}} failing"),
            ],
        ),
        Panel(
            "Age of the last checkpoint",
            "s",
            [("septem_audit_checkpoint_age_seconds{$i}", "{{instance}}")],
        ),
    ),
    "Decision cache": (
        Panel(
            "Repeated by Envoy, and asked",
            "reqps",
            [
                (rate("septem_decision_cache_repeated_total", "instance"), "repeated"),
                (rate("septem_decision_cache_asked_total", "reason"), "asked: {{reason}}"),
            ],
        ),
        Panel(
            "Leases and entries",
            "short",
            [
                (total("septem_decision_cache_leases"), "leases of {{instance}}"),
                (total("septem_decision_cache_entries"), "entries of {{instance}}"),
                (increase("septem_decision_cache_leases_refused_total"), "leases refused"),
            ],
        ),
        Panel(
            "Rings: the fullest, faults",
            "short",
            [
                ("septem_decision_cache_ring_fill{$i}", "{{instance}} fullest"),
                (increase("septem_decision_cache_ring_faults_total"), "faults"),
            ],
        ),
    ),
    "Limits and browsers": (
        Panel(
            "Buckets, and those that were pushed out",
            "short",
            [
                (total("septem_limit_keys", "limit"), "{{limit}}"),
                (increase("septem_limit_keys_evicted_total", "limit"), "{{limit}} pushed out"),
            ],
        ),
        Panel(
            "Shared limits: store, members",
            "short",
            [
                ("septem_limits_store_reachable{$i}", "{{instance}} reaches Redis"),
                ("septem_limits_members{$i}", "members seen by {{instance}}"),
            ],
        ),
        Panel(
            "CSP violations a minute",
            "short",
            [
                (
                    f"60 * {rate('septem_csp_violations_total', 'directive, disposition')}",
                    "{{directive}} {{disposition}}",
                )
            ],
        ),
    ),
}


def panels() -> Iterator[dict[str, Any]]:
    """Yield the panels, each row's below its title."""
    number = top = 0
    for row, listed in ROWS.items():
        number += 1
        place = {"x": 0, "y": top, "w": WIDTH * COLUMNS, "h": 1}
        yield {"id": number, "title": row, "type": "row", "gridPos": place, "panels": []}
        top += 1
        for at, panel in enumerate(listed):
            number += 1
            line, column = divmod(at, COLUMNS)
            yield _panel(panel, number, {"x": column * WIDTH, "y": top + line * HEIGHT})
        top += HEIGHT * -(-len(listed) // COLUMNS)


def _panel(panel: Panel, number: int, corner: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {
            "refId": chr(ord("A") + at),
            "expr": _SELECTOR.sub(lambda _: INSTANCE, query),
            "legendFormat": legend,
        }
        for at, (query, legend) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "title": panel.title,
        "type": panel.kind,
        "datasource": SOURCE,
        "gridPos": {**corner, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }


def dashboard() -> dict[str, Any]:
    """Return the whole document."""
    instances = {
        "name": "instance",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(septem_ready, instance)", "refId": "instance"},
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }
    return {
        "title": "Septem Sidecar",
        "uid": "septem-sidecar",
        "schemaVersion": 39,
        "version": 2,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "tags": ["septem"],
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus"},
                instances,
            ]
        },
        "panels": list(panels()),
    }


def main(arguments: Sequence[str]) -> int:
    """Write the file; with ``--check`` only compare it."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if "--check" in arguments:
        return int(FILE.read_text() != text)
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
