"""A real sidecar whose sinks go away, which is killed, restarted and reloaded: no line is lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import ManagedProcess, fetch_text, free_ports
from sidecar.cli.admin_client import request_admin
from sidecar.transport.names import CHECK_METHOD
from tests.authz.checks import check_request
from tests.runtime.started import command
from tests.support.clickhouse_server import ClickHouseServer, Fault, serving
from tests.support.kafka_broker import broker
from tests.support.minting import AUDIENCE, ISSUER, Issuer
from tests.support.real import TokenFile
from tests.support.waiting import wait_until

pytestmark = pytest.mark.real
CONFIG = """\
listen:
  authz: {{address: "unix:{folder}/authz", workers: 2}}
  admin: {{address: "127.0.0.1:{admin}"}}
  drain_seconds: 0.2
  drain_notice_seconds: 0
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}}}
tokens: {{issuers: [{{issuer: "{issuer}", audiences: ["{audience}"]}}]}}
routes: [{{name: all, path_prefix: /}}]
audit:
  to:
    - {{sink: file, path: {folder}/audit.jsonl}}
    - sink: clickhouse
      url: {clickhouse}
      user: writer
      password: {{source: vault_kv, path: audit/clickhouse}}
      batch_seconds: 0.1
      timeout_seconds: {timeout}
    - {{sink: kafka, brokers: ["{kafka}"], topic: audit, tls: false, timeout_seconds: 5}}
  spool:
    folder: {folder}/spool
    key: {{source: vault_transit, name: audit-spool, mount: spool-keys}}
"""
POLICY = """
path "secret/data/audit/clickhouse" { capabilities = ["read"] }
path "spool-keys/datakey/plaintext/audit-spool" { capabilities = ["update"] }
path "spool-keys/decrypt/audit-spool" { capabilities = ["update"] }
"""
CHECKS = 40


@contextmanager
def started(path: Path) -> Iterator[ManagedProcess]:
    with ManagedProcess("sidecar", list(command(path))) as process:
        process.wait_until(lambda: any("serving Checks" in line for line in process.lines), 60)
        yield process


def ask(folder: Path, count: int = CHECKS) -> None:
    for worker in (0, 1):
        with grpc.insecure_channel(f"unix:{folder}/authz-{worker}") as channel:
            call = channel.unary_unary(CHECK_METHOD)
            for number in range(count // 2):
                call(check_request(path=f"/{number}"), timeout=10)


def decided(folder: Path) -> list[bytes]:
    """The lines of the file, in their order, without those of the trail's own."""
    lines = (folder / "audit.jsonl").read_bytes().splitlines()
    return [line for line in lines if b'"outcome":"trail"' not in line]


def test_outages_kills_and_reloads_lose_no_line(
    tmp_path: Path, openbao: OpenBao, token_file: TokenFile, issuer: Issuer
) -> None:
    folder, (admin,) = tmp_path / "run", free_ports(1)
    folder.mkdir()
    form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    openbao.put_key(issuer.private.private_bytes(*form).decode())
    openbao.client.sys.enable_secrets_engine("transit", path="spool-keys")
    openbao.client.secrets.transit.create_key("audit-spool", mount_point="spool-keys")
    kv = openbao.client.secrets.kv.v2
    kv.create_or_update_secret("audit/clickhouse", {"value": "a password"})
    token_file.write(openbao.token_for(SIDECAR_POLICY + POLICY, name="audit-sinks"))
    server, hold = ClickHouseServer("writer", "a password"), threading.Event()
    path = folder / "sidecar.yaml"

    def hang(_request: object) -> None:
        hold.wait(60)

    with serving(server) as url, broker() as kafka:
        kafka.create("audit")

        def write_config(timeout: float) -> None:
            path.write_text(
                CONFIG.format(
                    folder=folder, vault=openbao.address, token=token_file.path, issuer=ISSUER,
                    audience=AUDIENCE, clickhouse=url, kafka=kafka.address, timeout=timeout,
                    admin=admin,
                )
            )  # fmt: skip

        write_config(2)
        with started(path) as process:
            ask(folder)
            wait_until(lambda: len(server.rows) >= CHECKS)
            server.faults = [Fault(503)] * 3 + [Fault(200, b"Code: 241. (MEMORY_LIMIT_EXCEEDED)")]
            ask(folder)
            wait_until(lambda: len(decided(folder)) == 2 * CHECKS)
            wait_until(lambda: len(server.rows) >= 2 * CHECKS)
            server.faults = [Fault(act=hang, inserts=True)] + [Fault(503)] * 100_000
            ask(folder)
            wait_until(lambda: len(decided(folder)) == 3 * CHECKS)
            wait_until(safe_lines(admin, 3 * CHECKS))
            process.signal(signal.SIGKILL)
            process.wait(30)
        assert b"decision_id" not in b"".join(
            each.read_bytes() for each in (folder / "spool").iterdir()
        )
        with started(path):
            ask(folder)
            wait_until(lambda: "clickhouse" in fetch_text(admin, "/readyz"))
            write_config(3)
            status, _ = request_admin(f"127.0.0.1:{admin}", "POST", "/config/reload")
            assert status == 200
            ask(folder)
            wait_until(lambda: len(decided(folder)) == 5 * CHECKS)
            hold.set()
            server.faults = []
            wait_until(lambda: len(server.rows) >= 5 * CHECKS)
        messages = kafka.messages("audit", 5 * CHECKS)
    rows = [row for row in server.rows if row["outcome"] != "trail"]
    wanted = [line_id(line) for line in decided(folder)]
    assert [row["decision_id"] for row in rows] == wanted, "in their order, each once"
    assert {each.value() for each in messages} >= set(decided(folder)), "the same bytes"


def line_id(line: bytes) -> str:
    return line.partition(b'"decision_id":"')[2].partition(b'"')[0].decode()


def safe_lines(admin: int, count: int) -> Callable[[], bool]:
    """Return whether so many lines are in the spool, by its metric."""

    def look() -> bool:
        name = "septem_audit_spool_lines_total "
        (found,) = [
            line for line in fetch_text(admin, "/metrics").splitlines() if line.startswith(name)
        ]
        return float(found.removeprefix(name)) >= count

    return look
