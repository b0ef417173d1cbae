"""Disturbances at the edge: names and certificates, Envoy's listeners, Envoy itself."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from bench.soak.connections import Http1, Lost
from bench.soak.schedule import Disturbance
from bench.soak.stack import Sidecar
from bench.soak.timeline import Fact
from bench.soak.tools import LOOK_SECONDS, PATIENCE_SECONDS, Overdue, Tools
from bench.soak.world import Name, owner_of


class AtEdge:
    """Registers names, renews certificates, and changes Envoy. ``serials`` are the right ones."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._registered: list[Name] = []
        self.serials: dict[str, Fact[frozenset[str]]] = {}

    async def register_name(self, _each: Disturbance) -> None:
        """Register a name, and have it served once."""
        number = len(self._registered)
        name = Name(f"shop-{number}.soak.example", owner_of(number))
        with self._tools.timeline.during("names_registered", name.name, self._tools.clock):
            self._registered.append(name)
            self._write_registry()
            await self._tools.until(self._tools.refreshed, "a name is registered")
            # By what is shown: which sidecar Envoy has asked is not known.
            self.serials[name.name] = Fact(frozenset({await self._served(name.name)}))
            self._tools.world.names.append(name)

    async def _served(self, name: str) -> str:
        """Shake hands for a new name until it is served; return the certificate's serial number.

        It may be refused once or twice after an overlapping restart: for a moment Envoy's stream
        is still the old instance's, which looks at the registry at its own intervals.
        """
        edge, deadline = self._tools.stack.edge, self._tools.clock() + PATIENCE_SECONDS
        while True:
            try:
                connection = await Http1.open(edge, edge.context("http/1.1"), name)
            except Lost:
                if self._tools.clock() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                connection.close()
                return normal_serial(connection.serial)

    def _write_registry(self) -> None:
        entries = [{"domain": each.name, "tenant_id": each.owner} for each in self._registered]
        fresh = self._tools.stack.shared.registry.with_suffix(".new")
        fresh.write_text(json.dumps({"domains": entries}))
        fresh.rename(self._tools.stack.shared.registry)

    async def _rows(self, name: str) -> list[dict[str, Any]]:
        """Return what the sidecars say of a certificate, of those that have it."""
        found = [await self._row(each, name) for each in self._tools.stack.sidecars]
        return [each for each in found if each is not None]

    async def _row(self, sidecar: Sidecar, name: str) -> dict[str, Any] | None:
        status, row = await self._answer(sidecar, "GET", f"/certificates/show?name={name}")
        return row if status == HTTPStatus.OK else None

    async def _answer(
        self, sidecar: Sidecar, method: str, target: str
    ) -> tuple[int, dict[str, Any]]:
        """Ask a sidecar that runs until it answers."""
        answers: list[tuple[int, dict[str, Any]]] = []

        def answered() -> bool:
            answers.extend(filter(None, [sidecar.ask(method, target)]))
            return bool(answers)

        await self._tools.until(answered, f"{sidecar.name} answers {method} {target}")
        return answers[0]

    async def _held(self, name: str) -> frozenset[str]:
        """Return the serial numbers under which the sidecars hold a certificate for a name."""
        return frozenset(normal_serial(row["serial"]) for row in await self._rows(name))

    async def renew(self, each: Disturbance) -> None:
        """Have every sidecar renew one certificate; Envoy must show the new one, and it alone."""
        names = self._tools.world.names
        name = names[int(each.strength * len(names))].name
        # Of a name on demand a sidecar that was restarted knows nothing until Envoy asks for it
        # again (docs/on-demand.md): then there is nothing to renew, and the edge's own is.
        if not await self._rows(name):
            name = names[0].name
        managed = "edge" if name == names[0].name else name
        fact = self.serials[name]
        with self._tools.timeline.during("certificate_renewed", name, self._tools.clock):
            begun, before = self._tools.clock(), fact.newest
            for sidecar in self._tools.stack.sidecars:
                await self.renew_in(sidecar, managed)
            after = await self._held(managed)
            fact.begin(after | before, begun)
            context = self._tools.stack.edge.context("http/1.1")
            deadline = self._tools.clock() + PATIENCE_SECONDS
            while True:
                connection = await Http1.open(self._tools.stack.edge, context, name)
                served = connection.serial
                connection.close()
                if served in after:
                    break
                if self._tools.clock() > deadline:
                    raise Overdue(f"Envoy shows {served} for {name}, renewed as {after}")
                await asyncio.sleep(LOOK_SECONDS)
            fact.settle(self._tools.clock())
            fact.begin(after, self._tools.clock())
            await asyncio.sleep(1)  # another thread of Envoy's may lag
            fact.settle(self._tools.clock())

    async def renew_in(self, sidecar: Sidecar, managed: str) -> None:
        """Have one sidecar renew, and wait until it holds another certificate than it did.

        Which one is its affair: what another sidecar has ordered since is as good. Raises
        ``Overdue`` with what the sidecar says of it.
        """
        held = await self._row(sidecar, managed)
        status, said = await self._answer(sidecar, "POST", f"/certificates/renew?name={managed}")
        # It was renewed a minute ago; or no Envoy has asked this one for the name.
        if status == HTTPStatus.TOO_MANY_REQUESTS or (
            held is None and status == HTTPStatus.NOT_FOUND
        ):
            return
        if held is None or status != HTTPStatus.OK:
            raise Overdue(f"{sidecar.name} does not renew {managed}: {status} {said}")

        def is_another() -> bool:
            answer = sidecar.ask("GET", f"/certificates/show?name={managed}")
            return answer is not None and answer[1].get("serial", "") not in {"", held["serial"]}

        try:
            await self._tools.until(is_another, f"{managed} is renewed")
        except Overdue:
            row = await self._row(sidecar, managed)
            raise Overdue(f"{sidecar.name} has not renewed {managed}, and says {row}") from None

    async def update_listeners(self, _each: Disturbance) -> None:
        """Give Envoy its listeners anew, and see the ones before drained."""
        with self._tools.timeline.during("listeners_updated", "", self._tools.clock):
            self._tools.stack.envoy.publish()
            await asyncio.sleep(10)  # the drain of the listeners before

    async def restart_envoy(self, _each: Disturbance) -> None:
        """Restart Envoy hot: the next takes the listeners over."""
        with self._tools.timeline.during("envoy_restarted", "", self._tools.clock):
            code = await asyncio.to_thread(self._tools.stack.envoy.restart_hot)
            if code != 0:
                raise Overdue(f"the Envoy before ended with {code}")

    async def first_serials(self, name: str) -> None:
        """Take down what is served for a configured name."""
        self.serials[name] = Fact(await self._held("edge"))


def normal_serial(text: str) -> str:
    """Return a serial number as hexadecimal without separators or leading zeros."""
    return text.replace(":", "").replace("-", "").lower().lstrip("0")
