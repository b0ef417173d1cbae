"""The printed policy is what a sidecar needs: with it all is served, and every line is needed."""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import dns.name
import msgspec
import pytest

from demo.openbao import OpenBao
from sidecar.audit_trail.key_store import KeyPlace, KeyStore
from sidecar.certificates.challenges.dns01.acme_dns import AcmeDnsWriter
from sidecar.certificates.challenges.dns01.names import TxtRecord
from sidecar.certificates.challenges.dns01.rfc2136 import Rfc2136Writer
from sidecar.certificates.issuers.acme.account import load_account
from sidecar.certificates.on_demand import resolved_registry
from sidecar.common.clock import monotonic_seconds
from sidecar.config import model, parse_config
from sidecar.doctor.entry_texts.tokens import LOGIN
from sidecar.doctor.needs import needs_of
from sidecar.doctor.policy import PolicyLine, policy_document, policy_hcl, policy_of
from sidecar.doctor.vault_paths import VaultNeed
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultForbidden
from tests.doctor.conftest import Make
from tests.doctor.world import CONFIGURATIONS, Running, configuration, running, unwrite
from tests.support.minting import TENANT
from tests.support.real import NAMESPACE
from tests.support.waiting import until


@pytest.fixture(autouse=True)
def lists_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions of domains' entries are listed once many names are held; here, for one."""
    monkeypatch.setattr(resolved_registry, "MIN_RENEWED", 1)


def use(openbao: OpenBao, config: model.Config, lines: tuple[PolicyLine, ...]) -> None:
    """Let the sidecar's token do what these lines allow, and nothing else."""
    assert isinstance(config.vault.auth, model.TokenFileAuth)
    token = openbao.token_for(policy_hcl(lines, None), name="printed")
    Path(config.vault.auth.path).write_text(token)


@pytest.mark.real
@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_with_the_printed_policy_alone_everything_is_served(
    name: str, make: Make, filled: OpenBao, caplog: pytest.LogCaptureFixture
) -> None:
    config = make(name)
    use(filled, config, policy_of(needs_of(config)))
    async with running(config, caplog) as sidecar:
        assert sidecar.fault == ""
        await until(lambda: sidecar.context.health.ready, 20, explain=lambda: sidecar.said)
        await sidecar.asked()
        async with sidecar.subscribed("shop.example"):
            await sidecar.settled()
        assert sidecar.forbidden == []
        assert "permission denied" not in sidecar.said


def mutations() -> list[tuple[str, str]]:
    """Return each line of each configuration's policy."""
    nowhere = Path("/nowhere")
    return [
        (name, line.path)
        for name in CONFIGURATIONS
        for line in policy_of(needs_of(configuration(name, nowhere, "http://127.0.0.1:1", nowhere)))
        if name == next(iter(CONFIGURATIONS)) or not line.path.endswith(SHARED)
    ]


SHARED = ("/iam/jwt-signing-key", "/iam/revocations", "pki/sign/edge")
"""What each of the configurations needs: one of them shows it."""


@pytest.mark.real
@pytest.mark.parametrize(("name", "path"), mutations())
async def test_without_one_line_something_says_which_path_it_lacks(
    name: str,
    path: str,
    make: Make,
    filled: OpenBao,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = make(name)
    lines = policy_of(needs_of(config))
    (removed,) = (each for each in lines if each.path == path)
    unwrite(filled)
    if path in NEEDS_A_PAST:
        use(filled, config, lines)
        async with running(config, caplog) as sidecar:
            await NEEDS_A_PAST[path](filled, config, sidecar)
    gone = {path, INSTEAD.get(path)}
    use(filled, config, tuple(each for each in lines if each.path not in gone))
    async with running(config, caplog) as sidecar, sidecar.subscribed("shop.example"):
        if not sidecar.fault and sidecar.context.health.ready:
            await sidecar.asked()
        named = path.removesuffix("*")
        await until(
            lambda: named in sidecar.said or (removed.without and sidecar.forbidden),
            20,
            explain=lambda: sidecar.said,
        )


Past = Callable[[OpenBao, model.Config, Running], Awaitable[None]]


async def _spooled(_openbao: OpenBao, _config: model.Config, sidecar: Running) -> None:
    """Leave lines in the spool, whose key a later sidecar has to have opened."""
    await sidecar.asked()
    store = Path(
        str(sidecar.context.config.audit.spool and sidecar.context.config.audit.spool.folder)
    )
    await until(lambda: any(each.stat().st_size > 200 for each in store.glob("*")), 20)


async def _forgotten(openbao: OpenBao, config: model.Config, _sidecar: Running) -> None:
    """Have a subject's key deleted, so that there is an entry below the main one."""
    place = config.audit.pseudonyms
    assert place is not None
    token_file = Path(config.vault.auth.path)  # type: ignore[union-attr]
    token_file.write_text(openbao.client.token)
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    await KeyStore(vault, KeyPlace(place.mount, place.path), address_days=30).forget(TENANT, "x")
    await vault.close()


INSTEAD = {
    "secret/metadata/iam/revocations/*": "secret/detailed-metadata/iam/revocations",
}
"""Lines that OpenBao does not need, because it has what another line is for; Vault has not."""
NEEDS_A_PAST: dict[str, Past] = {
    "transit/decrypt/spool": _spooled,
    "secret/data/audit/pseudonyms/*": _forgotten,
}
"""Lines that are for what an earlier sidecar, or an operator, has left."""


ACME = """\
listen: {{sds: {{address: "unix:/nowhere/sds"}}}}
vault: {{address: "{vault}", auth: {{method: token_file, path: {token}}}{namespace}}}
tokens: {{issuers: [{{issuer: "https://i.example", audiences: [a], keys: {{source: oidc}}}}]}}
routes: [{{name: all, path_prefix: /}}]
certificate_store: {{}}
issuers:
  - name: public
    type: acme
    directory: https://ca.example/dir
    agree_to_terms: true
    account: {{path: acme/account}}
    external_account: {{path: acme/eab}}
    challenge: dns-01
    dns: {{update: {{{update}}}}}
certificates: [{{name: a, issuer: public, common_name: a.example}}]
"""
UPDATES = {
    "rfc2136": 'type: rfc2136, server: "ns.example:53", zones: [example], tsig: {path: dns/t}',
    "acme_dns": 'type: acme_dns, url: "http://127.0.0.1:2", accounts: {prefix: acme-dns}',
}
ACME_LINES = [
    ("rfc2136", "secret/data/acme/account"),
    ("rfc2136", "secret/metadata/acme/account"),
    ("rfc2136", "secret/data/acme/eab"),
    ("rfc2136", "secret/data/dns/t"),
    ("acme_dns", "secret/data/acme-dns/*"),
]


@pytest.mark.real
@pytest.mark.parametrize(("update", "path"), [*ACME_LINES, *((each, "") for each in UPDATES)])
async def test_what_an_acme_issuer_reads_and_writes(
    update: str, path: str, filled: OpenBao, tmp_path: Path
) -> None:
    """Without one of its lines it says which path it lacks; with all of them it has everything."""
    token = tmp_path / "token"
    values = {"vault": filled.address, "token": token, "update": UPDATES[update]}
    namespace = f", namespace: {NAMESPACE}" if NAMESPACE else ""
    config = parse_config(ACME.format(**values, namespace=namespace), "test")
    kv = filled.client.secrets.kv.v2
    kv.delete_metadata_and_all_versions("acme/account")
    kv.create_or_update_secret("acme/eab", {"kid": "k", "hmac_key": "bWFj"})
    tsig = {"name": "key.", "algorithm": "hmac-sha256", "secret": "c2VjcmV0" * 4}
    kv.create_or_update_secret("dns/t", tsig)
    account = {"username": "u", "password": "p", "subdomain": "s", "fulldomain": "s.dns.example"}
    kv.create_or_update_secret("acme-dns/a.example", account)
    use(filled, config, tuple(x for x in policy_of(needs_of(config)) if x.path != path))
    vault = VaultClient(config.vault, clock=monotonic_seconds)
    try:
        if path:
            with pytest.raises(VaultForbidden, match=re.escape(path.removesuffix("*"))):
                await order(config, vault)
        else:
            await order(config, vault)
    finally:
        await vault.close()


async def order(config: model.Config, vault: VaultClient) -> None:
    """Do of an order what concerns Vault, but for the store."""
    (issuer,) = config.issuers
    assert isinstance(issuer, model.AcmeIssuerSettings)
    assert issuer.dns is not None
    await load_account(issuer, vault)
    name = dns.name.from_text("s.dns.example.")
    match issuer.dns.update:
        case model.Rfc2136Update() as settings:
            await Rfc2136Writer(settings, vault).begin()
        case model.AcmeDnsUpdate() as settings:
            writer = AcmeDnsWriter(settings, vault)
            await writer.check(TxtRecord("a.example", name, name, name, b"value"))
            writer.close()


@pytest.mark.real
@pytest.mark.parametrize("allowed", [True, False], ids=["printed", "without the line"])
async def test_the_login_is_renewed_by_the_printed_policy(
    allowed: bool, filled: OpenBao, tmp_path: Path
) -> None:
    auth = model.AppRoleAuth(role_id_file=str(tmp_path / "r"), secret_id_file=str(tmp_path / "s"))
    settings = model.Vault(address=filled.address, auth=auth, namespace=NAMESPACE)
    base = parse_config(
        ACME.format(vault=filled.address, token="/t", update=UPDATES["rfc2136"], namespace=""), "t"
    )
    lines = policy_of(needs_of(msgspec.structs.replace(base, vault=settings)))
    if not allowed:
        lines = tuple(each for each in lines if each.path != "auth/token/renew-self")
    role_id, secret_id = filled.approle_for(policy_hcl(lines, None), name="renewed")
    (tmp_path / "r").write_text(role_id)
    (tmp_path / "s").write_text(secret_id)
    now = 0.0
    vault = VaultClient(settings, clock=lambda: now)
    await vault.login()
    before = vault.lease
    now = 3000.0  # of an hour
    await vault.login()
    assert before is not None
    assert vault.lease is not None
    assert (vault.lease.token == before.token) is allowed
    await vault.close()


def line(path: str, *capabilities: str, setting: str = "s", without: str = "") -> VaultNeed:
    return VaultNeed(path, frozenset(capabilities), setting, LOGIN, without)


def test_settings_that_share_a_path_share_a_line() -> None:
    (found,) = policy_of(
        [line("a/data/x", "read", setting="one"), line("a/data/x", "list", setting="two")]
    )
    assert str(found) == 'path "a/data/x" { capabilities = ["list", "read"] }'
    assert found.comment == "one, two"
    many = policy_of([line("a", "read", setting=f"s[{at}]") for at in range(9)])
    assert [each.comment for each in many] == ["s[0], s[1], s[2] and 6 more"]


def test_a_line_is_needed_if_one_of_its_settings_needs_it() -> None:
    bare, both = line("a", "read", without="it is slow"), line("a", "list")
    assert [each.without for each in policy_of([bare])] == ["it is slow"]
    assert [each.without for each in policy_of([bare, both])] == [""]
    (found,) = policy_of([bare, line("a", "list", without="it is late")])
    assert found.comment == "s; without it, it is slow; it is late"


@pytest.mark.real
def test_a_path_that_another_one_covers_may_do_what_that_one_may(filled: OpenBao) -> None:
    """Vault goes by the most specific path alone."""
    lines = policy_of(
        [
            line("secret/data/all/*", "create", "update"),
            line("secret/data/all/below/*", "list"),
            line("secret/data/all/below/one", "read"),
            line("secret/data/allotment", "read"),
        ]
    )
    token = filled.token_for(policy_hcl(lines, NAMESPACE), name="covered")
    paths = ("all/x", "all/below/x", "all/below/one", "allotment")
    asked = {"token": token, "paths": [f"secret/data/{each}" for each in paths]}
    answer = filled.client.adapter.post(url="/v1/sys/capabilities", json=asked)["data"]
    assert [answer[f"secret/data/{each}"] for each in paths] == [
        ["create", "update"],
        ["create", "list", "update"],
        ["create", "list", "read", "update"],
        ["read"],
    ]


@pytest.mark.real
def test_vault_takes_the_policy_in_json_too(filled: OpenBao) -> None:
    document = policy_document(policy_of([line("secret/data/x", "read")]), "team")
    assert document["namespace"] == "team"
    token = filled.token_for(json.dumps(document["policy"]), name="json")
    asked = {"token": token, "paths": ["secret/data/x"]}
    answer = filled.client.adapter.post(url="/v1/sys/capabilities", json=asked)
    assert answer["data"]["secret/data/x"] == ["read"]
    assert "in the namespace team" in policy_hcl((), "team")
