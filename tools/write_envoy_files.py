"""Writes the complete Envoy files of ``envoy/``: the template of `sidecar envoy init`, filled.

Usage: python tools/write_envoy_files.py [--check]
"""

import sys
from pathlib import Path

from sidecar.cli.envoy_file import removals
from sidecar.cli.envoy_template import fill

FOLDER = Path(__file__).parents[1] / "envoy"
_EDGE = frozenset({"example", "sds", "acme", "bodies", "reports"})
EXAMPLES = {
    "edge.yaml": _EDGE,
    "edge-cached.yaml": _EDGE | {"decision_cache"},
    "edge-on-demand.yaml": _EDGE | {"on_demand"},
}
"""The files, and the parts of each."""
_VALUES = {
    **{str(number): f"({number}) " for number in (4, 5)},
    **{str(number): f"  # ({number})" for number in (1, 2, 6)},
    "1M": "(1) ",
    "LISTEN": "0.0.0.0",  # noqa: S104 - what the file says
    "HTTP_PORT": "8080",
    "HTTPS_PORT": "8443",
    "PUBLIC_PORT": "443",
    "ENVOY_ADMIN_PORT": "9901",
    "TRY": "10s",
    "ASK_AGAIN": "*ask_again",
    "CERTIFICATE": "edge",
    "SDS_ANCHOR": "",
    "HSTS": "max-age=31536000; includeSubDomains; preload",
    "REFERRER": "strict-origin-when-cross-origin",
    "PERMISSIONS": '"camera=(), geolocation=(), microphone=(), payment=(), usb=()"',
    "OPENER": "same-origin",
    "RESOURCE": "same-origin",
    "AGENT_CLUSTER": '"?1"',
    "TOKEN_SECONDS": "900",
    "BODY_BYTES": "4000000",
    "CACHE_SOCKET": "/run/septem/decision-cache.sock",
    "APPLICATION_TYPE": "STATIC",
    "APPLICATION": "              - endpoint: {address: {socket_address: "
    "{address: 127.0.0.1, port_value: 3000}}}",
    "AUTHZ_TYPE": "STATIC",
    "SDS_TYPE": "STATIC",
}


def main() -> int:
    """Write the files, or with ``--check`` say whether they are as they would be written."""
    made = {
        FOLDER / name: fill(parts, {**_VALUES, **removals((), ())})
        for name, parts in EXAMPLES.items()
    }
    if "--check" in sys.argv[1:]:
        return int(any(path.read_text() != text for path, text in made.items()))
    for path, text in made.items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
