"""The admin routes of certificates: list them, show one, renew one, revoke one.

Routes that change something are POST, which the admin port refuses to browsers.
"""

from collections.abc import Awaitable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qs

from sidecar.certificates.managed.admin import CertificateAdminFault, TooSoon, UnknownCertificate
from sidecar.common.errors import Fault
from sidecar.observability.panel import Act
from sidecar.transport.http1_messages import Handler, Request, Response


class CertificateActions(Protocol):
    """The actions; ``sidecar.certificates.managed.admin.CertificateAdmin`` implements them."""

    def list(self) -> "list[dict[str, Any]]":
        """Return every certificate."""

    def show(self, name: str) -> dict[str, Any]:
        """Return one certificate."""

    def renew(self, name: str) -> dict[str, Any]:
        """Renew one certificate."""

    def revoke(self, name: str) -> Awaitable[dict[str, Any]]:
        """Revoke one certificate."""


def certificate_routes(actions: CertificateActions) -> Mapping[tuple[str, str], Handler]:
    """Return the routes; a request names its certificate by ``?name=``."""

    def listed(_request: Request) -> Response:
        return Response.json(200, {"certificates": actions.list()})

    async def shown(request: Request) -> Response:
        return await _answer(request, actions.show)

    async def renewed(request: Request) -> Response:
        return await _answer(request, actions.renew)

    async def revoked(request: Request) -> Response:
        return await _answer(request, actions.revoke)

    return {
        ("GET", "/certificates"): listed,
        ("GET", "/certificates/show"): shown,
        ("POST", "/certificates/renew"): renewed,
        ("POST", "/certificates/revoke"): revoked,
    }


def certificate_actions(actions: CertificateActions) -> Mapping[str, Act]:
    """Return what an operator may do from the page. Each raises ``Fault``."""

    async def renew(name: str) -> str:
        row = actions.renew(name)
        if row["failures"] and (seconds := row["next_order_seconds"]):
            return (
                f"Certificate {name!r} is ordered already, and not there yet: {row['last_error']}. "
                f"It is tried again in {seconds} s."
            )
        return f"Certificate {name!r} is being ordered; what is held is served until it is there."

    async def revoke(name: str) -> str:
        row = await actions.revoke(name)
        return f"Certificate {name!r}, serial {row['serial']}, is revoked; another is ordered."

    return {"renew": renew, "revoke": revoke}


async def _answer(request: Request, act: Any) -> Response:
    names = parse_qs(request.query).get("name", [])
    if len(names) != 1:
        return Response.json(400, {"error": "name exactly one certificate: ?name=<name>"})
    try:
        done = act(names[0])
        return Response.json(200, await done if isinstance(done, Awaitable) else done)
    except UnknownCertificate as fault:
        return Response.json(404, {"error": str(fault)})
    except TooSoon as fault:
        wait = (("retry-after", str(fault.retry_after_seconds)),)
        return Response.json(429, {"error": str(fault)})._replace(headers=wait)
    except CertificateAdminFault as fault:
        return Response.json(409, {"error": str(fault)})
    except Fault as fault:
        return Response.json(502, {"error": str(fault)})
