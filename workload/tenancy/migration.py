"""The SQL that protects tables, and the SQL that undoes it. Pure.

Every policy asks ``septem_tenancy.tenant_id()`` once a statement (as a subquery, so that it is
no call per row). It returns NULL, and a policy no row, where there is no tenant, no seal, or not
a good one: nothing in it raises an error that could tell why.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from workload.settings import SettingsFault
from workload.tenancy.names import TableName, dollar_quote, quote_name, quote_text
from workload.tenancy.seal import WINDOW_SECONDS
from workload.tenancy.statistics import known_columns, with_statistics, without_statistics

SCHEMA = "septem_tenancy"
POLICY = "septem_tenant"
TenantType = Literal["uuid", "text"]
_SHAPES = {
    "uuid": "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$",
    "text": "^[A-Za-z0-9][A-Za-z0-9._:@|/-]{0,127}$",
}
_SEAL = "^[a-z0-9]{1,16}[.][0-9]{1,11}[.][0-9a-f]{64}$"
_TREE = """
  WITH RECURSIVE tree(relation) AS (
    SELECT %s::pg_catalog.regclass::pg_catalog.oid
    UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN tree t ON i.inhparent = t.relation
  )
  SELECT t.relation::pg_catalog.regclass AS name, c.relkind
  FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.relation"""
_UNSEALED = """
DECLARE
  tenant text := pg_catalog.current_setting('app.tenant_id', true);
BEGIN
  IF tenant IS NULL OR tenant !~ {shape} THEN
    RETURN NULL;
  END IF;
  RETURN tenant;
END"""
_SEALED = """
DECLARE
  tenant text := pg_catalog.current_setting('app.tenant_id', true);
  seal text := pg_catalog.current_setting('app.tenant_seal', true);
  issued text := pg_catalog.split_part(seal, '.', 2);
  known septem_tenancy.seal_keys%ROWTYPE;
  expected bytea;
BEGIN
  IF tenant IS NULL OR seal IS NULL OR tenant !~ {shape} OR seal !~ {seal} THEN
    RETURN NULL;
  END IF;
  IF abs(extract(epoch FROM transaction_timestamp()) - issued::bigint) > {window} THEN
    RETURN NULL;
  END IF;
  SELECT * INTO known FROM septem_tenancy.seal_keys k WHERE k.kid = split_part(seal, '.', 1);
  IF NOT FOUND THEN
    RETURN NULL;
  END IF;
  expected := sha256(known.outer_pad || sha256(known.inner_pad || convert_to(
    'septem-tenant-v1' || chr(10) || known.kid || chr(10) || issued || chr(10) || tenant,
    'UTF8')));
  -- Hashes of both are compared: how far two agree says nothing of the seal that was expected.
  IF sha256(known.outer_pad || expected)
     <> sha256(known.outer_pad || decode(split_part(seal, '.', 3), 'hex')) THEN
    RETURN NULL;
  END IF;
  RETURN tenant;
END"""
_KEYS = """
CREATE TABLE IF NOT EXISTS septem_tenancy.seal_keys (
  kid text PRIMARY KEY CHECK (kid ~ '^[a-z0-9]{1,16}$'),
  inner_pad bytea NOT NULL CHECK (length(inner_pad) = 64),
  outer_pad bytea NOT NULL CHECK (length(outer_pad) = 64)
);"""
_ROLE = """
BEGIN
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN
    CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION;
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}
             AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication)) THEN
    RAISE EXCEPTION 'role % is a superuser, or has BYPASSRLS, CREATEROLE or REPLICATION: '
      'give the application another', {name};
  END IF;
END"""
_TABLE = """
DECLARE
  each record;
  sequence record;
BEGIN
  IF EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = {table}::pg_catalog.regclass
             AND pg_catalog.pg_has_role({name}, relowner, 'MEMBER')) THEN
    RAISE EXCEPTION 'role % owns table %, or is a member of its owner: it could turn the '
      'protection off', {name}, {table};
  END IF;
  FOR each IN {tree} LOOP
    IF each.relkind NOT IN ('r', 'p') THEN
      RAISE EXCEPTION '% is no table, and has no row level security', each.name;
    END IF;
    EXECUTE pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I SET NOT NULL', each.name, {column});
    EXECUTE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', each.name);
    EXECUTE pg_catalog.format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', each.name);
    EXECUTE pg_catalog.format('DROP POLICY IF EXISTS {policy} ON %s', each.name);
    EXECUTE pg_catalog.format('CREATE POLICY {policy} ON %s FOR ALL TO PUBLIC '
      'USING (%I = (SELECT septem_tenancy.tenant_id())) '
      'WITH CHECK (%I = (SELECT septem_tenancy.tenant_id()))', each.name, {column}, {column});
    EXECUTE pg_catalog.format('REVOKE ALL ON TABLE %s FROM PUBLIC, %I', each.name, {name});
  END LOOP;
  IF NOT EXISTS (
    SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a
      ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = {table}::pg_catalog.regclass AND a.attname = {column}
      AND i.indpred IS NULL AND i.indisvalid) THEN
    EXECUTE pg_catalog.format('CREATE INDEX ON %s (%I)', {table}::pg_catalog.regclass, {column});
  END IF;
  FOR sequence IN
    SELECT s.oid::pg_catalog.regclass AS name FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.refobjid = {table}::pg_catalog.regclass AND d.deptype = 'a' LOOP
    EXECUTE pg_catalog.format('REVOKE ALL ON SEQUENCE %s FROM PUBLIC, %I', sequence.name, {name});
    EXECUTE pg_catalog.format('GRANT USAGE ON SEQUENCE %s TO %I', sequence.name, {name});
  END LOOP;
END"""
_DATABASE = """
BEGIN
  EXECUTE pg_catalog.format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC, %I',
    pg_catalog.current_database(), {name});
  EXECUTE pg_catalog.format('GRANT CONNECT ON DATABASE %I TO %I',
    pg_catalog.current_database(), {name});
  EXECUTE pg_catalog.format('REVOKE CREATE ON SCHEMA public FROM PUBLIC, %I', {name});
EXCEPTION WHEN insufficient_privilege OR invalid_schema_name THEN
  RAISE WARNING 'the database''s owner must run: REVOKE CREATE, TEMPORARY ON DATABASE ... FROM '
    'PUBLIC; REVOKE CREATE ON SCHEMA public FROM PUBLIC (septem tenancy check says whether it is '
    'needed)';
END"""
_UNDO_TABLE = """
DECLARE
  each record;
BEGIN
  FOR each IN {tree} LOOP
    EXECUTE pg_catalog.format('DROP POLICY IF EXISTS {policy} ON %s', each.name);
    EXECUTE pg_catalog.format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', each.name);
    EXECUTE pg_catalog.format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', each.name);
  END LOOP;
  IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN
    EXECUTE pg_catalog.format('REVOKE ALL ON TABLE %s FROM %I',
      {table}::pg_catalog.regclass, {name});
  END IF;
END"""
_UNDO_FUNCTION = """
BEGIN
  DROP FUNCTION IF EXISTS septem_tenancy.tenant_id();
EXCEPTION
  WHEN dependent_objects_still_exist THEN
    RAISE NOTICE 'septem_tenancy.tenant_id() stays: policies of other tables ask it';
  WHEN invalid_schema_name THEN NULL;
END"""


class Protection(NamedTuple):
    """What to protect: tables with a tenant column, for an application's role."""

    tables: tuple[TableName, ...]
    role: str
    column: str = "tenant_id"
    type: TenantType = "uuid"
    sealed: bool = True
    no_statistics: tuple[str, ...] = ()
    """The columns of which the planner keeps no statistics."""

    def up(self) -> str:
        """Return the migration; run again it changes nothing."""
        self._check()
        body = [
            f"CREATE SCHEMA IF NOT EXISTS {SCHEMA};",
            f"REVOKE ALL ON SCHEMA {SCHEMA} FROM PUBLIC;",
            _KEYS.strip(),
            f"REVOKE ALL ON TABLE {SCHEMA}.seal_keys FROM PUBLIC;",
            self._function(),
            f"REVOKE ALL ON FUNCTION {SCHEMA}.tenant_id() FROM PUBLIC;",
            self._do(_ROLE),
            f"GRANT USAGE ON SCHEMA {SCHEMA} TO {quote_name(self.role)};",
            f"GRANT EXECUTE ON FUNCTION {SCHEMA}.tenant_id() TO {quote_name(self.role)};",
            self._do(_DATABASE),
        ]
        role = quote_name(self.role)
        if self.no_statistics:
            body.append(known_columns(self.tables, self.no_statistics))
        for table in self.tables:
            body.append(f"-- {str(table).encode('unicode_escape').decode()}")
            if self.no_statistics:
                tree = _tree(table)
                body.append(without_statistics(table, self.no_statistics, tree, POLICY))
            body += [
                self._do(_TABLE, table),
                f"GRANT USAGE ON SCHEMA {quote_name(table.schema)} TO {role};",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE {table} TO {role};",
            ]
        return _transaction(body)

    def down(self) -> str:
        """Return what undoes it. Role, seal keys, NOT NULL and indexes stay.

        Statistics are kept again of the columns of ``no_statistics`` alone.
        """
        self._check()
        return _transaction(
            [
                *(self._do(_UNDO_TABLE, table) for table in self.tables),
                *(
                    with_statistics(table, self.no_statistics, _tree(table))
                    for table in self.tables
                    if self.no_statistics
                ),
                f"DO {_quoted(_UNDO_FUNCTION)};",
            ]
        )

    def _check(self) -> None:
        if not self.tables:
            raise SettingsFault("name the tables to protect")
        if self.type not in _SHAPES:
            raise SettingsFault(f"the type {self.type!r} is neither uuid nor text")
        for name in (self.column, self.role, *self.no_statistics):
            quote_name(name)

    def _function(self) -> str:
        body = (_SEALED if self.sealed else _UNSEALED).format(
            shape=quote_text(_SHAPES[self.type]), seal=quote_text(_SEAL), window=WINDOW_SECONDS
        )
        return (
            f"CREATE OR REPLACE FUNCTION {SCHEMA}.tenant_id() RETURNS {self.type}\n"
            "LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE\n"
            f"SET search_path = pg_catalog, pg_temp AS {_quoted(body)};"
        )

    def _do(self, template: str, table: TableName | None = None) -> str:
        literal = quote_text(str(table)) if table else ""
        body = template.format(
            name=quote_text(self.role),
            role=quote_name(self.role),
            column=quote_text(self.column),
            table=literal,
            tree=_tree(table) if table else "",
            policy=POLICY,
        )
        return f"DO {_quoted(body)};"


def tables_of(names: Sequence[str]) -> tuple[TableName, ...]:
    """Read the names of tables. Raises ``SettingsFault``."""
    return tuple(dict.fromkeys(TableName.read(name) for name in names))


def _tree(table: TableName) -> str:
    return _TREE.strip() % quote_text(str(table))


def _quoted(body: str) -> str:
    return dollar_quote(body.strip())


def _transaction(statements: list[str]) -> str:
    return "\n\n".join(["BEGIN;", *statements, "COMMIT;"]) + "\n"
