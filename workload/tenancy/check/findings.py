"""A rule and what it finds. Pure."""

from typing import Literal, NamedTuple

Severity = Literal["hole", "note"]
"""A ``hole`` lets a tenant see, change or learn of what is another's; a ``note`` is to be known."""


class Finding(NamedTuple):
    """One thing that a rule found, with what to do about it."""

    rule: str
    severity: Severity
    name: str
    detail: str
    mend: str


class Rule(NamedTuple):
    """A query of the catalogs that returns (name, detail) of each finding.

    It may return a third column, true where the finding is a note only. ``mend`` says what to
    do, with ``{name}`` for the first column.
    """

    name: str
    severity: Severity
    mend: str
    sql: str

    def found(self, row: tuple[object, ...]) -> Finding:
        """Return the finding of a row."""
        name, detail = str(row[0]), str(row[1])
        is_note = len(row) > 2 and bool(row[2])  # noqa: PLR2004 - the third column
        return Finding(
            self.name,
            "note" if is_note else self.severity,
            name,
            detail,
            self.mend.replace("{name}", name),
        )


PRELUDE = """
WITH RECURSIVE params AS (
  SELECT %(column)s::text AS tenant_column, %(roles)s::text[] AS roles,
    %(no_statistics)s::name[] AS no_statistics
), relations AS (
  SELECT c.oid, c.oid::regclass::text AS name, c.relname, c.relkind, c.relowner, c.relrowsecurity,
    c.relforcerowsecurity, c.relispartition, c.reloptions, c.relacl, c.relnamespace
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'f', 'm', 'v', 'S') AND c.relpersistence <> 't'
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'septem_tenancy')
    AND n.nspname !~ '^pg_(toast|temp)'
), tenant_tables AS (
  SELECT r.*, a.attnum, a.attnotnull FROM relations r JOIN pg_attribute a
    ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped, params
  WHERE a.attname = params.tenant_column AND r.relkind IN ('r', 'p')
), readers(oid, table_oid) AS (
  SELECT t.oid, t.oid FROM tenant_tables t
  UNION SELECT w.ev_class, s.table_oid FROM readers s
  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = s.oid
    AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_class <> s.oid
), app AS (
  SELECT r.oid, r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole, r.rolcreatedb,
    r.rolreplication FROM pg_roles r, params WHERE r.rolname = ANY (params.roles)
), strong AS (
  SELECT r.oid, r.rolname, CASE WHEN r.rolsuper THEN 'is a superuser'
    WHEN r.rolbypassrls THEN 'has BYPASSRLS'
    WHEN r.rolcreaterole THEN 'has CREATEROLE' WHEN r.rolreplication THEN 'has REPLICATION'
    WHEN EXISTS (SELECT FROM tenant_tables t WHERE t.relowner = r.oid) THEN
      'owns tables with tenants'
    ELSE 'owns septem_tenancy.tenant_id()' END AS why
  FROM pg_roles r WHERE r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolreplication
    OR EXISTS (SELECT FROM tenant_tables t WHERE t.relowner = r.oid)
    OR EXISTS (SELECT FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
      WHERE n.nspname = 'septem_tenancy' AND p.proowner = r.oid)
)
"""
"""What the rules ask: tables with the tenant column, the relations that read them (views, through
each other too), the application's roles, and who is above them."""
