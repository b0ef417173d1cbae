"""``sidecar health``: asks a running sidecar whether it is ready, for exec probes."""

import argparse
import json
from http import HTTPStatus
from http.client import HTTPException

from sidecar.cli.admin_client import DEFAULT_ADMIN, AdminFault, add_admin_of, connect
from sidecar.cli.output import add_json, print_json
from sidecar.common.printable import printable
from sidecar.config.load import load_config
from sidecar.config.network import reachable

EXIT_OK, EXIT_NOT_READY = 0, 1
_SECONDS = 2.0
_MAX_BYTES = 1_048_576


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``health``."""
    parser.description = (
        "Ask a running sidecar whether it is ready. Exit 0: it is. Exit 1: it is not, or does not "
        "answer within two seconds."
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--address",
        metavar="ADDRESS",
        help="of the admin port or of listen.probes, host:port or unix:/path "
        f"(default: {DEFAULT_ADMIN})",
    )
    add_admin_of(where)
    parser.add_argument(
        "--live", action="store_true", help="only whether its process turns, as /livez says it"
    )
    add_json(parser, "print the answer")
    parser.set_defaults(run=_health)


def _health(options: argparse.Namespace) -> int:
    address = options.address or DEFAULT_ADMIN
    if options.config is not None:
        address = load_config(options.config).listen.admin.address
    status, text = _ask(address, "/livez" if options.live else "/readyz")
    is_well = status == HTTPStatus.OK and text == ("alive" if options.live else "ready")
    if status == HTTPStatus.OK and not is_well:
        raise AdminFault(f"the server at {address} is no sidecar: it answers {text[:80]!r}")
    if options.json:
        print_json({"well": is_well, "status": status, "answer": text})
    else:
        print(printable(text) or f"status {status}")
    return EXIT_OK if is_well else EXIT_NOT_READY


def _ask(address: str, path: str) -> tuple[int, str]:
    """Return the status and one line of words. Raises ``AdminFault`` for no answer."""
    connection = connect(reachable(address), _SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        raw = answer.read(_MAX_BYTES)
    except (OSError, HTTPException) as exc:
        why = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        raise AdminFault(f"no sidecar answers at {address}: {why}") from exc
    finally:
        connection.close()
    return answer.status, _words(raw)


def _words(raw: bytes) -> str:
    """Return an answer as one line: the admin port's is a document, a probe's a word."""
    text = raw.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(document, dict) or not isinstance(document.get("problems", {}), dict):
        return text
    if problems := document.get("problems"):
        return "not ready: " + "; ".join(f"{part}: {why}" for part, why in problems.items())
    return "ready"
