"""An admin port in a thread, with a real manager of certificates behind it."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from sidecar.admin.server import AdminServer
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.managed.admin import CertificateAdmin
from sidecar.certificates.managed.admin_routes import certificate_routes
from sidecar.certificates.managed.manager import CertificateManager
from sidecar.certificates.managed.store import CertificateStore
from sidecar.common.clock import wall_seconds
from sidecar.common.errors import Fault
from tests.support.authorities import Ca
from workload.x509.material import Material

CA = Ca("platform")


class Issuer:
    name = "internal"

    def __init__(self) -> None:
        self.failing = self.is_outage = False
        self.same: Material | None = None
        self.asked = 0
        self.may_answer = threading.Event()
        self.may_answer.set()

    async def issue(self, order: Order) -> Material:
        self.asked += 1
        await asyncio.to_thread(self.may_answer.wait, 10)
        if self.failing:
            fault = Fault("Vault is away")
            fault.is_outage = self.is_outage
            raise fault
        return self.same or CA.material(*order.uri_sans, dns_names=order.dns_names)


class Admin:
    """The admin port in a thread, as a sidecar has it."""

    def __init__(self, address: str) -> None:
        self.issuer = Issuer()
        self.revoked: list[tuple[str, str]] = []
        self.store = CertificateStore(wall_seconds)
        self.address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.run(self._start())

    def run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _start(self) -> None:
        self.manager = await self._managed()
        self._actions = CertificateAdmin(self.manager, {"edge": True}, self._revoke, wall_seconds)
        self._server = AdminServer(self.address, certificate_routes(self._actions), on_fault=print)
        await self._server.start()
        self.address = self._server.bound_address
        self._task = asyncio.create_task(self.manager.keep_fresh())

    def successor(self) -> Callable[[], None]:
        """Start another manager; return what has the port answer for it, as a restart does."""
        made = self.run(self._managed())

        def take_over() -> None:
            self._actions._manager = made

        return take_over

    async def _managed(self) -> CertificateManager:
        orders = [
            Order("edge", ("app.example", "*.app.example")),
            Order("orders", (), ("spiffe://d/ns/orders/sa/api",)),
        ]
        made = CertificateManager(
            [(order, self.issuer) for order in orders], self.store,
            now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.0,
        )  # fmt: skip
        await made.obtain_all()
        return made

    async def _revoke(self, issuer: str, serial: str) -> None:
        if self.issuer.failing:
            raise Fault("Vault at x, pki/revoke: permission denied")
        self.revoked.append((issuer, serial))

    def serial(self, name: str) -> str:
        held = self.store.get(name)
        return held.serial if held is not None else ""

    def stop(self) -> None:
        async def end() -> None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._server.close()

        self.run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
