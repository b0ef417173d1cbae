"""Both walls by ClickHouse's real engine: `make test-clickhouse` (opt-in).

The engine has no users: a row filter of users.xml, with ``log_comment`` in the place of the custom
setting, is what a row policy is to a server, and a profile's constraint what ``CONST`` is.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.clickhouse_attacks import REFUSED, SENT, SHARED, TABLES, TENANTS, A, B
from tests.support.clickhouse_process import OF_ACCESS, PYTHON, Engine, engine_in
from tests.support.clickhouse_queries import QueryMaker
from tests.support.clickhouse_server import Exc
from workload.settings import SettingsFault
from workload.tenancy.clickhouse.guard.functions import AGGREGATE, SCALAR
from workload.tenancy.clickhouse.guard.queries import QueryGuard
from workload.tenancy.clickhouse.guard.refused import GuardDisagrees, QueryRefused
from workload.tenancy.clickhouse.guard.tables import GuardedTables
from workload.tenancy.clickhouse.logins import TenantLogins
from workload.tenancy.clickhouse.protection import (
    PINNED,
    SETTING,
    ClickHouseProtection,
    tables_of,
    tenant_user,
)
from workload.tenancy.seal import SealKey

pytestmark = pytest.mark.skipif(not PYTHON, reason="run: make test-clickhouse")
GUARD = QueryGuard(GuardedTables(TENANTS, SHARED, database="app"))
PROTECTION = ClickHouseProtection(tables_of(["app.contacts", "app.visits"]), "orders_app")
CONDITION = PROTECTION.condition().replace(SETTING, "log_comment")
GOOD, BROKEN = 1_500, 8_000
CONFIG = """
<clickhouse><user_directories><users_xml><path>{users}</path></users_xml></user_directories>
</clickhouse>
"""
USERS = """
<clickhouse><profiles><default><log_comment>{tenant}</log_comment>{constraints}</default></profiles>
<quotas><default/></quotas><users><default><password></password>
<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
<databases><app><contacts><filter>{condition}</filter></contacts>
<visits><filter>{condition}</filter></visits></app></databases></default></users></clickhouse>
"""
PINS = "<constraints><log_comment><readonly/></log_comment></constraints>"


def configured(folder: Path, tenant: str, constraints: str = "") -> str:
    """Return the folder of an engine whose user is a tenant."""
    users, config = folder / "users.xml", folder / "config.xml"
    condition = CONDITION.replace("<", "&lt;")
    users.write_text(USERS.format(tenant=tenant, constraints=constraints, condition=condition))
    config.write_text(CONFIG.format(users=users))
    return f"{folder / 'data'}?config-file={config}"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Engine]]:
    """An engine without a wall, and one with the first wall for tenant A; the same rows."""
    with ExitStack() as stack:
        bare = stack.enter_context(engine_in(tmp_path_factory.mktemp("bare")))
        walled = stack.enter_context(
            engine_in(configured(tmp_path_factory.mktemp("walled"), A, PINS))
        )
        for engine in (bare, walled):
            engine.ask("CREATE DATABASE app")
            for statement in TABLES:
                engine.ask(statement)
        yield bare, walled


@pytest.fixture
def bare(engines: tuple[Engine, Engine]) -> Engine:
    return engines[0]


@pytest.fixture
def walled(engines: tuple[Engine, Engine]) -> Engine:
    return engines[1]


def rows(engine: Engine, query: str) -> list[str] | int:
    """Return the answer's lines in order, or the code of the engine's exception."""
    try:
        return sorted(engine.ask(query, {"septem_tenant": A, "a": "a"}).split("\n"))
    except Exc as exc:
        return exc.code


def rows_by_default_database(engine: Engine, query: str) -> list[str] | int:
    engine.ask("USE app")
    return rows(engine, query)


def test_the_rows_of_others_are_there(bare: Engine) -> None:
    assert "SECRET" in bare.ask("SELECT * FROM app.contacts")
    assert "SECRET" in bare.ask("SELECT name FROM (SELECT * FROM app.contacts) AS c")


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_reads_the_tenants_rows(engines: tuple[Engine, Engine], name: str) -> None:
    """By the second wall alone as by the first alone: the same rows, of A."""
    bare, walled = engines
    guarded = rows(bare, GUARD.query(SENT[name]))
    assert isinstance(guarded, list), guarded
    assert "SECRET" not in "".join(guarded)
    original = rows_by_default_database(walled, SENT[name])
    assert guarded == original


def test_what_is_refused_would_have_been_read(bare: Engine) -> None:
    """The corpus is no straw man: many of the refused texts show who sends them another's rows."""
    leaks = [
        name
        for name, (query, _) in REFUSED.items()
        if query.startswith(("SELECT", "WITH"))
        and name not in {"url", "s3", "postgresql", "sleep", "executable", "loop"}
        and "SECRET" in "".join(map(str, [rows_by_default_database(bare, query)]))
    ]
    assert len(leaks) > 20, leaks


def test_generated_queries_read_the_same_by_either_wall(engines: tuple[Engine, Engine]) -> None:
    bare, walled = engines
    maker, compared = QueryMaker(20), 0
    for _ in range(GOOD):
        query = maker.good()
        guarded = rows(bare, GUARD.query(query))
        original = rows_by_default_database(walled, query)
        assert "SECRET" not in str(guarded), query
        if isinstance(guarded, list) and isinstance(original, list):
            assert guarded == original, query
            compared += 1
    assert compared > GOOD * 0.8, compared


def test_broken_queries_read_nothing_of_anothers(bare: Engine) -> None:
    maker, sent, ran, disagreed = QueryMaker(7), 0, 0, 0
    for _ in range(BROKEN):
        query = maker.broken()
        if "SECRET" in query:
            continue
        try:
            text = GUARD.query(query)
        except GuardDisagrees:
            disagreed += 1
            continue
        except (QueryRefused, SettingsFault):
            continue
        if text.startswith("INSERT"):
            continue
        sent += 1
        answer = rows(bare, text)
        ran += isinstance(answer, list)
        assert "SECRET" not in str(answer), (query, text)
    assert sent > BROKEN * 0.02, sent
    assert ran > sent * 0.3, (sent, ran)
    assert disagreed < BROKEN * 0.005, disagreed


def test_an_insert_is_the_tenants_whatever_it_selects(bare: Engine) -> None:
    text = GUARD.query("INSERT INTO contacts (id, name) SELECT id + 100, page FROM visits")
    bare.ask(text, {"septem_tenant": A})
    made = bare.ask("SELECT tenant_id, count() FROM app.contacts WHERE id > 100 GROUP BY 1")
    assert made == f"{A}\t1"
    bare.ask("ALTER TABLE app.contacts DELETE WHERE id > 100 SETTINGS mutations_sync = 1")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM app.contacts WHERE 1 OR 1",
        f"SELECT '{A}' AS tenant_id, name FROM app.contacts",
        f"WITH '{B}' AS log_comment SELECT name FROM app.contacts",
        "SELECT name FROM app.contacts SETTINGS optimize_using_constraints = 1",
        "SELECT name FROM merge('app', '^contacts$')",
        "SELECT name FROM remote('127.0.0.1', app.contacts)",
        "SELECT name FROM loop(app.contacts) LIMIT 8",
        "SELECT name FROM view(SELECT * FROM app.contacts)",
        "SELECT throwIf(position(name, 'SECRET') > 0) FROM app.contacts",
        "SELECT name FROM app.contacts PREWHERE throwIf(position(name, 'SECRET') > 0) = 0",
    ],
)
def test_the_first_wall_holds_against_any_text(walled: Engine, query: str) -> None:
    answer = rows(walled, query)
    assert isinstance(answer, list)
    assert "SECRET" not in "".join(answer)


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT name FROM app.contacts SETTINGS log_comment = '{B}'",
        f"SET log_comment = '{B}'",
        f"SELECT * FROM (SELECT name FROM app.contacts SETTINGS log_comment = '{B}') AS s",
        f"SET PROFILE 'default', log_comment = '{B}'",
    ],
)
def test_a_pinned_setting_is_not_changed(walled: Engine, query: str) -> None:
    walled.code_of(query)
    assert walled.ask("SELECT getSetting('log_comment')") == A
    assert "SECRET" not in str(rows(walled, query))


def test_the_index_is_not_read_past_a_policy(walled: Engine) -> None:
    assert rows(walled, "SELECT * FROM mergeTreeIndex('app', 'contacts')") == 497


def test_a_constraint_holds_what_a_policy_does_not(walled: Engine) -> None:
    """A row policy judges no insert: tenant A writes into B's rows until the constraint stands."""
    insert = f"INSERT INTO app.contacts (id, tenant_id, name) VALUES (900, '{B}', 'forged')"
    assert walled.code_of(insert) == 0
    check = f"ALTER TABLE app.contacts ADD CONSTRAINT IF NOT EXISTS c CHECK {CONDITION}"
    walled.ask(check)
    try:
        violated = 469
        assert walled.code_of(insert) == violated
        assert walled.code_of(insert.replace(f"'{B}'", f"'{A}'")) == 0
        late = insert.replace("VALUES", "SETTINGS async_insert = 1 VALUES")
        assert walled.code_of(late) == violated
        select = f"INSERT INTO app.contacts (id, tenant_id) SELECT 901, '{B}'"
        assert walled.code_of(select) == violated
    finally:
        walled.ask("ALTER TABLE app.contacts DROP CONSTRAINT c")
        walled.ask("ALTER TABLE app.contacts DELETE WHERE id >= 900 SETTINGS mutations_sync = 1")


@pytest.mark.parametrize("tenant", ["", "x", "00000000-0000-0000-0000-000000000000"])
def test_what_is_no_tenant_sees_nothing(tmp_path: Path, tenant: str) -> None:
    with engine_in(configured(tmp_path, tenant)) as engine:
        engine.ask("CREATE DATABASE app")
        for statement in TABLES:
            engine.ask(statement)
        assert engine.ask("SELECT count() FROM app.contacts") == "0"


def statements() -> list[str]:
    logins = TenantLogins(SealKey("k1", b"k" * 32), "orders_app")
    full = PROTECTION._replace(shared=tables_of(["app.countries"]), readers=("reports",))
    text = full.up() + full.down() + tenant_user(logins, A)
    text += full._replace(type="text").up()
    return [each.strip() for each in text.split(";\n") if each.strip()]


@pytest.mark.parametrize("number", range(len(statements())))
def test_every_statement_is_read(bare: Engine, number: int) -> None:
    """Users, roles and policies it has not: it reads those, and says that it may not."""
    statement = statements()[number]
    if "CONSTRAINT" in statement:
        return  # it would stay; the constraint has a test of its own
    assert bare.code_of(statement) in OF_ACCESS


def test_the_settings_that_are_pinned_exist(bare: Engine) -> None:
    names = ", ".join(f"'{each}'" for each in PINNED)
    found = bare.ask(f"SELECT count() FROM system.settings WHERE name IN ({names})")
    assert int(found) == len(PINNED)


def test_the_functions_are_the_engines(bare: Engine) -> None:
    known = set(bare.ask("SELECT lower(name) FROM system.functions").split("\n"))
    assert known >= SCALAR | AGGREGATE
    reading = bare.ask(
        "SELECT lower(name) FROM system.functions WHERE categories IN ('Dictionary', "
        "'Embedded Dictionary', 'Internal', 'Introspection', 'AI')"
    ).split("\n")
    assert not (SCALAR | AGGREGATE) & set(reading)
