"""What the service is given between two Checks, and what each of it changes."""

from collections.abc import Callable

import msgspec
import pytest

from sidecar.authz.service import CheckService
from sidecar.common.reasons import Reason
from sidecar.common.registered_domains import NO_DOMAINS, RegisteredDomains
from sidecar.config import parse_config
from sidecar.keys.lifecycle import KeyState
from sidecar.module_signing.publishers import NO_PUBLISHERS, Publishers
from sidecar.runtime import check
from sidecar.runtime.check import (
    compile_policies,
    give_domains,
    give_keys,
    give_policies,
    give_publishers,
    give_revocations,
    give_tenant_tables,
)
from sidecar.tokens.cache import TokenCache
from sidecar.tokens.keyring import EMPTY_RING, KeyRing
from sidecar.tokens.mapping import TableSource
from sidecar.tokens.revocation import NOTHING_REVOKED, Revocations, read_revocations
from tests.authz.checks import check_request
from tests.authz.conftest import CONFIG, Bench
from tests.support.minting import ISSUER, NOW, TENANT, Issuer

ROWS = [
    ("fresh", KeyState.ACTIVE, KeyState.ACTIVE, True),
    ("keys", KeyState.DEGRADED, KeyState.ACTIVE, False),
    ("revocations", KeyState.ACTIVE, KeyState.DEGRADED, False),
    ("both", KeyState.DEGRADED, KeyState.DEGRADED, False),
    ("in an outage", KeyState.OUTAGE, KeyState.OUTAGE, True),
]


@pytest.fixture
def bench(issuer: Issuer) -> Bench:
    return Bench(issuer)


@pytest.mark.parametrize("refuse", [True, False])
@pytest.mark.parametrize(
    ("keys", "revocations", "passes"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_what_decides_is_too_old(
    bench: Bench, keys: KeyState, revocations: KeyState, passes: bool, refuse: bool
) -> None:
    """Keys and revocations alike, where ``when_degraded`` says ``refuse``."""
    service = bench.service
    service.snapshot = msgspec.structs.replace(service.snapshot, refuse_degraded=refuse)
    give_keys(service, service.snapshot.ring, keys)
    give_revocations(service, NOTHING_REVOKED, revocations)
    token = bench.issuer.mint().decode()
    bench.handle(check_request(headers={"authorization": f"Bearer {token}"}))
    refused = [each.decision.outcome for each in bench.outcomes]
    assert refused == ([] if passes or not refuse else [Reason.KEYS_DEGRADED])
    assert len(bench.allowed_checks) == 1 - len(refused)


def revoked() -> Revocations:
    """Return revocations of one tenant's tokens."""
    entry = {"tenants": [{"tenant": TENANT, "issued_before": NOW}]}
    return Revocations(read_revocations(entry), NOW, 930)


ACTIVE, OUTAGE, DEGRADED = KeyState.ACTIVE, KeyState.OUTAGE, KeyState.DEGRADED
GIVEN: list[tuple[str, Callable[[CheckService], None], bool]] = [
    ("the same revocations", lambda s: give_revocations(s, NOTHING_REVOKED, ACTIVE), False),
    ("the same in an outage", lambda s: give_revocations(s, NOTHING_REVOKED, OUTAGE), False),
    ("the same, too old", lambda s: give_revocations(s, NOTHING_REVOKED, DEGRADED), True),
    ("equal ones", lambda s: give_revocations(s, Revocations.of([]), ACTIVE), False),
    ("others", lambda s: give_revocations(s, revoked(), ACTIVE), True),
    ("the same domains", lambda s: give_domains(s, NO_DOMAINS), False),
    ("other domains", lambda s: give_domains(s, RegisteredDomains.of([("b.example", "t")])), True),
    ("the same keys", lambda s: give_keys(s, KeyRing(s.snapshot.ring), ACTIVE), False),
    ("no keys", lambda s: give_keys(s, EMPTY_RING, ACTIVE), True),
    ("another state", lambda s: give_keys(s, s.snapshot.ring, OUTAGE), True),
    ("the same publishers", lambda s: give_publishers(s, NO_PUBLISHERS), False),
    ("no table", lambda s: give_tenant_tables(s, TokenCache(), {}), False),
    ("publishers", lambda s: give_publishers(s, Publishers((), ["00" * 32])), True),
]


@pytest.mark.parametrize(
    ("give", "is_new"), [row[1:] for row in GIVEN], ids=[row[0] for row in GIVEN]
)
def test_the_caches_are_dropped_only_for_what_is_new(
    bench: Bench, give: Callable[[CheckService], None], is_new: bool
) -> None:
    """A registry and a list are polled: one that is as it was must not empty the caches."""
    bench.ask(bench.issuer.mint())
    before, targets = bench.service.snapshot, bench.service._response_cache.targets
    assert targets
    give(bench.service)
    assert (bench.service.snapshot is not before) is is_new
    assert (not targets) is is_new


def test_everything_given_stays_beside_the_rest(bench: Bench) -> None:
    service, before = bench.service, bench.service.snapshot
    revocations, publishers = revoked(), Publishers({})
    domains = RegisteredDomains.of([("b.example", TENANT)])
    give_keys(service, EMPTY_RING, OUTAGE)
    give_revocations(service, revocations, DEGRADED)
    give_domains(service, domains)
    give_publishers(service, publishers)
    made = service.snapshot
    assert (made.ring, made.key_state) == (EMPTY_RING, OUTAGE)
    assert made.revocations is revocations
    assert made.revocations_degraded
    assert made.headers.owner_of("b.example") == TENANT
    assert made.publishers is publishers
    assert made.routes is before.routes
    give_revocations(service, revocations, ACTIVE)
    assert not service.snapshot.revocations_degraded


def test_policies_keep_what_is_published_apart_from_them(bench: Bench) -> None:
    domains, publishers = RegisteredDomains.of([("b.example", "t")]), Publishers([], ())
    revocations = Revocations.of([])
    ring = bench.issuer.ring
    give_keys(bench.service, ring, DEGRADED)
    give_revocations(bench.service, revocations, DEGRADED)
    give_domains(bench.service, domains)
    give_publishers(bench.service, publishers)
    compiled = compile_policies(parse_config(CONFIG.replace("/api,", "/apis,"), "test"))
    give_policies(bench.service, TokenCache(), compiled)
    now = bench.service.snapshot
    assert (now.ring, now.key_state) == (ring, DEGRADED)
    assert now.revocations == revocations
    assert now.revocations_degraded
    assert now.headers.registered is domains
    assert now.publishers is publishers
    assert now.routes is compiled.snapshot.routes


STORED = CONFIG.replace(
    "audiences:", "claims: {tenant: {path: org, tenants_from: {path: iam/t}}}, audiences:"
)
SOURCE = TableSource(ISSUER, "secret", "iam/t")
OTHER = "8e1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"


def stored_bench(issuer: Issuer) -> tuple[Bench, TokenCache]:
    cache = TokenCache()
    return Bench(issuer, config=STORED, cache=cache), cache


def test_a_token_s_tenant_is_that_of_the_table_in_force(issuer: Issuer) -> None:
    """What was answered by another table, from any cache, is not answered again."""
    bench, cache = stored_bench(issuer)
    token, answers = issuer.mint(org="acme"), list[str]()

    def ask() -> str:
        answer = bench.ask(token, path="/api/x")
        return answer.set_headers["x-tenant-id"] if answer.allowed else answer.metadata["reason"]

    assert ask() == "tenant_unknown", "no table was read"
    for words in ({"acme": TENANT}, {"acme": OTHER}, {"b": TENANT}, {"acme": TENANT}):
        give_tenant_tables(bench.service, cache, {SOURCE: words})
        answers += [ask(), ask()]
    assert answers == [TENANT, TENANT, OTHER, OTHER, *["tenant_unknown"] * 2, TENANT, TENANT]


def test_a_poll_without_news_empties_no_cache(issuer: Issuer) -> None:
    bench, cache = stored_bench(issuer)
    give_tenant_tables(bench.service, cache, {SOURCE: {"acme": TENANT}})
    told: list[object] = []
    bench.service.on_exchange = lambda held, fresh: told.append((held, fresh))
    bench.ask(issuer.mint(org="acme"), path="/api/x")
    before, epoch = bench.service.snapshot, bench.service._response_cache.epoch
    give_tenant_tables(bench.service, cache, {SOURCE: {"acme": TENANT}})
    assert bench.service.snapshot is before
    assert (len(cache), bench.service._response_cache.epoch, told) == (1, epoch, [])
    give_tenant_tables(bench.service, cache, {SOURCE: {"acme": OTHER}})
    assert (len(cache), bench.service._response_cache.epoch, len(told)) == (0, epoch + 1, 1)


def test_policies_use_the_table_of_the_entry_that_they_name(issuer: Issuer) -> None:
    bench, cache = stored_bench(issuer)
    other = SOURCE._replace(path="iam/u")
    tables = {SOURCE: {"acme": TENANT}, other: {"acme": OTHER}}
    give_tenant_tables(bench.service, cache, tables)
    bench.ask(issuer.mint(org="acme"), path="/api/x")
    same = compile_policies(parse_config(STORED.replace("/shell}", "/shells}"), "test"))
    give_policies(bench.service, cache, same)
    assert len(cache) == 1, "other routes, and the same rules of tokens"
    moved = compile_policies(parse_config(STORED.replace("iam/t", "iam/u"), "test"))
    give_policies(bench.service, cache, moved)
    assert len(cache) == 0
    mapping = bench.service.snapshot.tokens.issuers[ISSUER].mapping
    assert mapping is not None
    assert mapping.tenant.table == {"acme": OTHER}
    assert bench.service.snapshot.tenant_tables == tables


TOKEN_RULES = [
    ("routes", "/api,", "/apis,", True),
    ("audiences", "audiences: [", "audiences: [https://more.example, ", False),
    ("the leeway", "tokens:\n", "tokens:\n  leeway_seconds: 1\n", False),
    ("personal data", "tokens:\n", "tokens:\n  pii: {by_value: deny}\n", False),
    ("the size of the cache", "tokens:\n", "tokens:\n  cache_entries: 0\n", False),
]


@pytest.mark.parametrize(
    ("old", "new", "stay"), [r[1:] for r in TOKEN_RULES], ids=[r[0] for r in TOKEN_RULES]
)
def test_tokens_verified_by_other_rules_are_forgotten(
    issuer: Issuer, old: str, new: str, stay: bool
) -> None:
    cache = TokenCache()
    bench = Bench(issuer, cache=cache)
    assert bench.ask(issuer.mint()).allowed
    assert len(cache) == 1
    compiled = compile_policies(parse_config(CONFIG.replace(old, new, 1), "test"))
    give_policies(bench.service, cache, compiled)
    assert len(cache) == (1 if stay else 0)


@pytest.mark.parametrize("reads", [False, True])
def test_certificates_are_ready_to_be_read_where_a_route_reads_them(
    monkeypatch: pytest.MonkeyPatch, *, reads: bool
) -> None:
    """A first Check does not wait for the import."""
    loaded: list[bool] = []
    monkeypatch.setattr(check, "load_certificates", lambda: loaded.append(True))
    route = '[{name: a, path_prefix: /, clients: ["spiffe://a.example/b"]}]'
    text = CONFIG if not reads else CONFIG.partition("routes:")[0] + f"routes: {route}\n"
    compile_policies(parse_config(text, "test"))
    assert loaded == [True] * reads
