"""What each page says that its reader has, or has done, before a command of it."""

import gzip
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import yaml
from jwt.algorithms import ECAlgorithm

from demo.cases import Minter
from demo.openbao import SIDECAR_POLICY
from demo.process import fetch_text, free_ports
from demo.stack import Stack
from sidecar.common.clock import wall_seconds
from sidecar.config.headers import SHELL_CSP
from sidecar.csp.reports.intake import CLIENT_HEADER
from sidecar.csp.reports.parse import LEGACY_TYPE
from sidecar.keys.discovery import OPENID
from tests.csp.reports.bodies import legacy
from tests.docs.backups_world import BETWEEN, backups
from tests.docs.worlds import READY_SECONDS, VENV, World
from tests.support.documents import BLOCKS, ROOT, Kind, kind_of
from tests.support.minting import TENANT
from tests.support.postgres_server import postgres_server
from tests.support.publisher import Page, PublisherServer
from tests.support.real import started
from tests.support.shaped_issuer import ShapedIssuer, shape_named
from tests.support.waiting import wait_until
from workload.tenancy.context import TenantContext, tenant

Step = Callable[[World], None]


def tokens(world: World) -> None:
    """Keys, and tokens by them: one a line."""
    key = ECAlgorithm.to_jwk(world.issuer.private.public_key(), as_dict=True)
    world.write("keys.json", json.dumps({"keys": [{**key, "alg": "ES256", "use": "sig"}]}))
    for name in ("tokens.txt", "token.txt", "the-token"):
        world.write(name, world.token(tenantId=TENANT) + "\n")
    world.write("revoked.json", "{}")


def readme(world: World) -> None:
    tokens(world)
    world.write("jwt-public.pem", world.public_pem)
    (world.folder / "sidecar.yaml").unlink()
    world.vault.delete("pki/roles/edge")


def written(world: World, decision_id: str, **members: str) -> None:
    """One line of an audit log."""
    (block,) = (b for b in BLOCKS if b.page == "docs/operations.md" and kind_of(b) is Kind.JSON)
    line = {**json.loads(block.text), "decision_id": decision_id, **members}
    world.write("log/audit.jsonl", json.dumps(line, separators=(",", ":")) + "\n")


def operations(world: World) -> None:
    tokens(world)
    written(world, "4f0c2a91d2e07b18c3aa", request_id="0d1c6c3a-5b0e-4c1d-9a55-6a0b7f0c1e2d")


def reasons(world: World) -> None:
    """The page's own case, alone and in a folder."""
    written(world, "4f0c2a91d2e07b18c3aa")
    (case,) = (b.text for b in BLOCKS if b.page == world.page and kind_of(b) is Kind.CASE)
    world.write("tests/cases.yaml", {"cases": [{"name": "a viewer", **yaml.safe_load(case)}]})
    world.write("request.json", json.dumps(yaml.safe_load(case)))
    routes = [{"name": "orders", "path_prefix": "/api/orders", "roles": ["editor"]}]
    world.write("sidecar.yaml", world.settings(routes=routes))


def audit_settings(world: World) -> Mapping[str, Any]:
    return {
        "to": {"sink": "file", "path": str(world.folder / "audit.jsonl")},
        "checkpoints": {"key": "audit", "file": str(world.folder / "checkpoints")},
        "pseudonyms": {"path": "audit/pseudonyms"},
    }


def audit(world: World) -> None:
    world.write("sidecar.yaml", world.settings(audit=audit_settings(world)))


def serve_with_an_audit_trail(world: World) -> None:
    world.serve(audit=audit_settings(world))
    world.ask(world.token(tenantId=TENANT, sub="user-1234"))


def two_files_more(world: World) -> None:
    """Rotated away, the older one compressed; each has a checkpoint of the key that is given."""
    log = world.folder / "audit.jsonl"
    wait_until(log.exists, seconds=READY_SECONDS)
    wait_until(lambda: '"reason":"checkpoint"' in log.read_text(), seconds=READY_SECONDS)
    for number in (2, 1):
        log.rename(world.folder / f"audit.jsonl.{number}")
        world.ask(world.token(tenantId=TENANT))
        wait_until(log.exists, seconds=READY_SECONDS)
    old = world.folder / "audit.jsonl.2"
    world.folder.joinpath("audit.jsonl.2.gz").write_bytes(gzip.compress(old.read_bytes()))
    old.unlink()


def certificates(world: World) -> None:
    world.put_key()
    world.places["/usr/bin/envoy"] = str(VENV / "envoy")
    public = {
        "name": "public", "type": "acme", "directory": "https://ca.example/directory",
        "agree_to_terms": True, "account": {"path": "septem/acme/public"}, "challenge": "http-01",
        "fallback": "internal",
    }  # fmt: skip
    shop = {"name": "shop", "issuer": "public"}
    settings = world.settings(certificate_store={})
    settings["issuers"].append(public)
    settings["certificates"].append({**shop, "common_name": "shop.example.com"})
    world.write("sidecar.yaml", settings)


def send(port: int, number: int, directive: str, blocked: str) -> None:
    report = legacy(**{
        "document-uri": f"https://app.example.com/{number % 3}", "blocked-uri": blocked,
        "effective-directive": directive, "violated-directive": directive,
    })  # fmt: skip
    client = {CLIENT_HEADER.decode(): f"203.0.113.{number % 4}"}
    headers = {"content-type": LEGACY_TYPE, "host": "app.example.com", **client}
    url = f"http://127.0.0.1:{port}/.well-known/septem/csp-reports"
    with urlopen(Request(url, json.dumps(report).encode(), headers)) as answer:
        assert answer.status == HTTPStatus.NO_CONTENT


def reports(world: World) -> None:
    """A sidecar that has been sent 24 reports of each of two kinds, of 3 pages and 4 clients."""
    (port,) = free_ports(1)
    forward = {"sink": "file", "path": str(world.folder / "reports.jsonl")}
    policy = {**SHELL_CSP, "connect-src": ["'self'", "api.example.com"]}
    world.serve(
        listen={"reports": {"address": f"127.0.0.1:{port}"}},
        headers={
            "reports": {"forward": forward, "client_burst": 500},
            "csp": {"shell": {"enforced": [policy]}},
        },
    )
    kinds = (("connect-src", "https://telemetry.example.com/v1"), ("script-src-elem", "inline"))
    for number in range(24):
        for directive, blocked in kinds:
            send(port, number, directive, blocked)
    forwarded = world.folder / "reports.jsonl"
    wait_until(
        lambda: forwarded.exists() and forwarded.read_text().count("\n") == 48,
        seconds=READY_SECONDS,
    )


def without_vault(world: World) -> None:
    """A sidecar that met twelve tokens of an unknown key, then lost its Vault."""
    own = started(None)
    world.exits.callback(own.stop)
    world.places["https://vault:8200"] = own.address
    own.put_key(world.public_pem)
    token = world.write("own-token", own.token_for(SIDECAR_POLICY))
    token.chmod(0o600)
    vault = {"address": own.address, "auth": {"method": "token_file", "path": str(token)}}
    world.serve(vault=vault, keys={"poll_seconds": 1}, issuers=[], certificates=[])
    world.ask(world.token(header={"kid": "another"}), times=12)
    own.stop()
    port = int(world.places["127.0.0.1:9102"].partition(":")[2])
    wait_until(lambda: "does not answer" in fetch_text(port, "/page.json"), seconds=READY_SECONDS)


def systemd(world: World) -> None:
    for folder in ("systemd/system", "sysusers.d", "tmpfiles.d", "septem/credentials"):
        (world.folder / "etc" / folder).mkdir(parents=True)
    world.places |= {
        "/etc/": f"{world.folder}/etc/",
        "deploy/systemd": f"{ROOT}/deploy/systemd",
        "/opt/septem-sidecar/bin/": f"{VENV}/",
    }
    for name in ("role-id", "secret-id"):
        world.write(name, "an id")
    world.write("etc/septem/sidecar.yaml", world.settings())


def doctor(world: World) -> None:
    """An AppRole whose policy lacks a line, and all that the doctor itself needs."""
    del world.places["https://vault.internal:8200"]
    world.places["https://vault.example.com:8200"] = world.openbao.address
    world.put_key()
    policy = """
path "secret/data/iam/jwt-signing-key" { capabilities = ["read"] }
path "secret/metadata/iam/jwt-signing-key" { capabilities = ["read"] }
path "auth/token/renew-self" { capabilities = ["update"] }
path "sys/capabilities-self" { capabilities = ["update"] }
path "pki/roles/edge" { capabilities = ["read"] }
"""
    world.vault.sys.enable_auth_method("approle")
    world.vault.sys.create_or_update_policy("sidecar", policy)
    roles = world.vault.auth.approle
    roles.create_or_update_approle(
        "sidecar", token_policies=["sidecar"], token_no_default_policy=True, token_ttl="1h"
    )
    ids = {
        "role_id": roles.read_role_id("sidecar")["data"]["role_id"],
        "secret_id": roles.generate_secret_id("sidecar")["data"]["secret_id"],
    }
    files = {f"{name}_file": str(world.write(name, text)) for name, text in ids.items()}
    for path in files.values():
        Path(path).chmod(0o600)
    settings = world.settings(listen={})
    settings["vault"]["auth"] = {"method": "approle", **files}
    for number, (name, port) in enumerate(
        zip(("authz", "sds", "admin"), free_ports(3), strict=True)
    ):
        world.places[f"127.0.0.1:910{number}"] = f"127.0.0.1:{port}"
        settings["listen"][name] = {"address": f"127.0.0.1:{port}"}
    world.write("sidecar.yaml", settings)


def of_the_pair(world: World) -> None:
    """The sidecar's addresses in Envoy's shipped files; nothing listens there."""
    listen = {"authz": {"address": "127.0.0.1:9100"}, "sds": {"address": "127.0.0.1:9101"}}
    world.write("sidecar.yaml", world.settings(listen=listen))


def a_way_past(world: World) -> None:
    """Envoy's file with the mistake of the page."""
    shipped = (ROOT / "envoy/edge.yaml").read_text()
    of_the_pair(world)
    at = shipped.rindex("failure_mode_allow: false")
    world.write("envoy.yaml", shipped[:at] + shipped[at:].replace(": false", ": true", 1))


def provider(world: World) -> None:
    server = world.exits.enter_context(PublisherServer(world.folder))
    origin = server.origin
    shaped = ShapedIssuer(shape_named("Keycloak, a user"), origin)
    document = {"issuer": origin, "jwks_uri": f"{origin}/keys"}
    server.pages[OPENID] = Page(json.dumps(document).encode())
    server.pages["/keys"] = Page(json.dumps({"keys": [shaped.jwk()]}).encode())
    world.write("token.txt", shaped.token(wall_seconds()))
    world.places["https://kc.example/realms/shop"] = f"{origin} --ca-file {server.ca_file}"


def revocations(world: World) -> None:
    tokens(world)
    world.serve(keys={"revocations": {"path": "iam/revocations", "poll_seconds": 1}})


def module(world: World) -> None:
    stack = world.exits.enter_context(Stack())
    world.write("remoteEntry.js", "export {}")
    world.places["https://api.septemcore.com"] = f"https://localhost:{stack.ports.https}"
    world.variables["CURL_CA_BUNDLE"] = str(stack.folder / "ca.pem")
    world.variables["TOKEN"] = Minter(stack.key, wall_seconds()).good()
    STACKS[world.page] = stack


STACKS: dict[str, Stack] = {}


def register_the_publisher(world: World) -> None:
    stack = STACKS.pop(world.page)
    stack.openbao.put_publishers({"acme": (world.folder / "public.pem").read_text()})
    url = f"http://127.0.0.1:{stack.admin_port}/keys/refresh"
    headers = {"content-type": "application/json"}
    with urlopen(Request(url, b"", headers, method="POST")) as answer:
        assert answer.status == HTTPStatus.OK


def services(world: World) -> None:
    world.vault.sys.enable_secrets_engine("pki", path="services")


def running(world: World) -> None:
    world.serve()
    reload = "sidecar config reload"
    world.places[reload] = f"{reload} --config sidecar.yaml"


ROLES = [{"name": "admin", "path_prefix": "/admin", "roles": ["admin"]}]
REST = [{"name": "rest", "path_prefix": "/"}]


def recorded(world: World) -> None:
    """A log of 40 requests, and a configuration that decides as the one of then."""
    (world.folder / "log").mkdir()
    log = world.folder / "log/audit.jsonl"
    to = {"sink": "file", "path": str(log)}
    world.serve(routes=[*ROLES, *REST], audit={"to": to, "record_inputs": True})
    for role, path, times in (
        ("support", "/admin/users", 12),
        ("admin", "/admin/users", 8),
        ("support", "/orders", 20),
    ):
        world.ask(world.token(tenantId=TENANT, roles=[role]), path, times)
    wait_until(
        lambda: log.exists() and log.read_text().count("decision_id") >= 40, seconds=READY_SECONDS
    )
    lines = log.read_bytes().splitlines(keepends=True)
    world.folder.joinpath("audit.jsonl.1.gz").write_bytes(gzip.compress(b"".join(lines[:20])))
    world.folder.joinpath("audit.jsonl").write_bytes(b"".join(lines[20:]))
    world.write("new.yaml", world.settings(routes=[*ROLES, *REST]))


def another_policy(world: World) -> None:
    routes = [{**ROLES[0], "roles": ["admin", "support"]}, *REST]
    world.write("new.yaml", world.settings(routes=routes))


def tables(world: World) -> None:
    """A database of orders, whose owner may make roles."""
    server = world.exits.enter_context(postgres_server())
    server.run("postgres", "CREATE ROLE orders_owner LOGIN CREATEROLE")
    columns = "(id bigserial PRIMARY KEY, tenant_id uuid NOT NULL)"
    database = server.new_database(
        f"CREATE TABLE contacts {columns}", "CREATE SCHEMA billing",
        f"CREATE TABLE billing.invoices {columns}", owner="orders_owner",
    )  # fmt: skip
    world.places["postgresql://orders_owner@db.example/orders"] = server.url(
        "orders_owner", database
    )
    world.variables["CONNINFO"] = server.url("orders_app", database)


def vault(world: World) -> None:
    world.put_key()
    world.vault.sys.enable_auth_method("approle")


def empty_server(world: World) -> None:
    """OpenBao as it is when it has been started, and its root token where it writes it."""
    own = started(None)
    world.exits.callback(own.stop)
    (world.folder / "run").mkdir()
    (world.folder / "sidecar.yaml").unlink()
    world.write(".vault-token", own.client.token).chmod(0o600)
    world.places |= {"http://127.0.0.1:8200": own.address, "/run/septem/": f"{world.folder}/run/"}


def first_server(world: World) -> None:
    world.write(".vault-token", world.openbao.client.token).chmod(0o600)


def at_free_ports(world: World) -> None:
    """The settings of `config init`, where no other test listens."""
    text = (world.folder / "sidecar.yaml").read_text()
    for number, port in enumerate(free_ports(3)):
        text = text.replace(f"127.0.0.1:910{number}", f"127.0.0.1:{port}")
    world.write("sidecar.yaml", text)


def edge(world: World) -> None:
    of_the_pair(world)
    world.write("envoy.yaml", (ROOT / "envoy/edge.yaml").read_text())


def password(world: World) -> None:
    world.places["<password>"] = "s3cret"


def query(world: World) -> None:
    """The page's Python, with the key and the role that its commands made."""
    names: dict[str, Any] = {"app": None, "conninfo": world.variables["CONNINFO"]}
    with tenant(TenantContext(TENANT)):
        for block in BLOCKS:
            if block.page == world.page and kind_of(block) is Kind.PYTHON:
                text = block.text.replace("/run/secrets/", f"{world.folder}/")
                exec(compile(text, f"<{block.name}>", "exec"), names)  # noqa: S102 - the page's own
    names["pool"].close()


PREPARED: Mapping[str, Step] = {
    "README.md": readme,
    "docs/admin-page.md": without_vault,
    "docs/audit-sinks.md": password,
    "docs/audit.md": audit,
    "docs/backups.md": backups,
    "docs/certificates.md": certificates,
    "docs/csp-reports.md": reports,
    "docs/deploy-systemd.md": systemd,
    "docs/doctor.md": doctor,
    "docs/envoy-lint.md": a_way_past,
    "docs/identity-providers.md": provider,
    "docs/keys.md": revocations,
    "docs/modules.md": module,
    "docs/mtls.md": services,
    "docs/operations.md": operations,
    "docs/reasons.md": reasons,
    "docs/reload.md": running,
    "docs/replay.md": recorded,
    "docs/tenancy.md": tables,
    "docs/vault.md": vault,
    "docs/what-reaches-your-application.md": edge,
}
"""By page: before its first command."""
AFTER: Mapping[str, Step] = {"docs/tenancy.md": query}
"""By page: behind its last command."""
BEFORE: Mapping[tuple[str, str], Step] = {
    ("docs/audit.md", "sidecar audit subject"): serve_with_an_audit_trail,
    ("docs/audit.md", "sidecar audit verify"): two_files_more,
    ("docs/modules.md", "curl"): register_the_publisher,
    ("docs/vault.md", "sidecar config init"): empty_server,
    ("docs/vault.md", "sidecar vault setup --config sidecar.yaml --signing-keys . --dry"): (
        at_free_ports
    ),
    ("docs/vault.md", "vault policy delete"): first_server,
    ("docs/replay.md", "sidecar replay audit.jsonl.1.gz"): another_policy,
    **BETWEEN,
}
"""By page and beginning of a command: what is done between two commands."""
