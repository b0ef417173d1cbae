"""An ASGI application for uvicorn: it answers with its tenant."""

from workload.tenancy.asgi import Receive, Scope, Send, TenantMiddleware
from workload.tenancy.context import current_tenant
from workload.tenancy.edge import Edge


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": current_tenant().tenant_id.encode()})


by_socket = TenantMiddleware(answer, Edge(unix_socket=True))
by_loopback = TenantMiddleware(answer, Edge(loopback=True))
