"""What an ASGI server tells its application."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any

Message = MutableMapping[str, Any]


async def application(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer with it; take a WebSocket and say what its handshake said."""
    if scope["type"] not in {"http", "websocket"}:
        return
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
    ]
    seen = dict(headers)
    cookies = SimpleCookie(seen.get("cookie", ""))
    told = {
        "method": scope.get("method", "GET"),
        "path": scope["path"],
        "host": seen.get("host", ""),
        "client": scope["client"][0],
        "seen": seen,
        "cookies": {name: morsel.value for name, morsel in cookies.items()},
    }
    body = json.dumps(told)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": body})
        await send({"type": "websocket.close"})
        return
    while (await receive()).get("more_body"):
        pass
    start = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await send({"type": "http.response.body", "body": body.encode()})
