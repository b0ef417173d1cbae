"""Under which names the demo's parts are reached."""

from typing import NamedTuple

from demo.cases import TENANT_DOMAIN


class Names(NamedTuple):
    """Host names; the defaults are what any browser on this machine finds by itself.

    ``mapped`` is for a browser that is told where each name is: then every part is on the
    standard port of its scheme, and the platform's own names can be used.
    """

    app: str = "localhost"
    cdn: str = "localhost"
    foreign: str = "localhost"
    own_domain: str = TENANT_DOMAIN
    other_domain: str = "shop.globex.example"
    mapped: bool = False

    def origin(self, host: str, port: int) -> str:
        """Return the origin of a part over TLS."""
        return f"https://{host}" if self.mapped else f"https://{host}:{port}"

    @property
    def of_edge(self) -> tuple[str, ...]:
        """The names on the edge's certificate."""
        if not self.mapped:
            return (self.app,)
        return (self.app, "*." + self.app.partition(".")[2], self.own_domain, self.other_domain)


PLATFORM = Names("app.septemcore.com", "cdn.septemcore.com", "evil.example", mapped=True)
"""The names of the security model, for a browser that is told where they are."""
