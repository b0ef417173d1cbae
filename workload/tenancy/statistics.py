"""The SQL that has the planner keep no statistics of columns, and forget those it has. Pure.

``EXPLAIN`` shows what the planner estimates for a guess, and it estimates by all tenants' rows:
by the statistics of a column, of indexes on expressions of it, and of statistics objects.
"""

from workload.tenancy.names import TableName, dollar_quote, quote_text

_KNOWN = """
DECLARE
  missing text;
BEGIN
  SELECT c INTO missing FROM pg_catalog.unnest({columns}) AS c WHERE NOT EXISTS (
    SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ({tables})
      AND a.attname = c AND a.attnum > 0 AND NOT a.attisdropped);
  IF FOUND THEN
    RAISE EXCEPTION 'no column % is in any of the tables: whose statistics are not to be kept?',
      missing;
  END IF;
END"""
_FORGET = """
  -- The column's own type again: no row is rewritten, and what was gathered of it is forgotten.
  FOR each IN
    SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type,
      CASE WHEN a.attcollation <> 0
        THEN ' COLLATE ' || a.attcollation::pg_catalog.regcollation::text ELSE '' END AS collation
    FROM pg_catalog.pg_attribute a WHERE a.attrelid = {table}::pg_catalog.regclass
      AND a.attname = ANY ({columns}) AND a.attnum > 0 AND NOT a.attisdropped LOOP
    EXECUTE pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I TYPE %s%s',
      {table}::pg_catalog.regclass, each.attname, each.type, each.collation);
  END LOOP;"""
_KEEP = """
DECLARE
  each record;
BEGIN
  {policies}{forget}
  FOR each IN
    SELECT r.name, r.oid, a.attname, a.attnum
    FROM (SELECT tree.name, tree.name::pg_catalog.oid FROM ({tree}) AS tree) AS r(name, oid)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = r.oid
    WHERE a.attname = ANY ({columns}) AND a.attnum > 0 AND NOT a.attisdropped LOOP
    EXECUTE pg_catalog.format('ALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS {target}',
      each.name, each.attname);
  END LOOP;
  FOR each IN
    SELECT DISTINCT d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AS is_index, d.objid,
      a.attnum, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(s.stxname)
        AS statistics
    FROM ({tree}) AS r JOIN pg_catalog.pg_depend d ON d.refobjid = r.name::pg_catalog.oid
    JOIN pg_catalog.pg_attribute c ON c.attrelid = d.refobjid AND c.attnum = d.refobjsubid
    LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = d.objid
    LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indexrelid
      AND i.indkey[a.attnum - 1] = 0
    LEFT JOIN pg_catalog.pg_statistic_ext s ON s.oid = d.objid
      AND d.classid = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass
    LEFT JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
    WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND c.attname = ANY ({columns})
      AND (s.oid IS NOT NULL OR (a.attnum IS NOT NULL
        AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)) LOOP
    IF each.is_index THEN
      EXECUTE pg_catalog.format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS {target}',
        each.objid::pg_catalog.regclass, each.attnum);
    ELSE
      EXECUTE pg_catalog.format('ALTER STATISTICS %s SET STATISTICS {target}', each.statistics);
    END IF;
  END LOOP;
END"""
_DROP_POLICIES = """-- A policy that names the column holds its type fast. It is made anew below.
  FOR each IN {tree} LOOP
    EXECUTE pg_catalog.format('DROP POLICY IF EXISTS {policy} ON %s', each.name);
  END LOOP;"""


def known_columns(tables: tuple[TableName, ...], columns: tuple[str, ...]) -> str:
    """Return a statement that fails where a column is in none of the tables."""
    names = ", ".join(f"{quote_text(str(table))}::pg_catalog.regclass" for table in tables)
    body = _KNOWN.format(columns=_array(columns), tables=f"ARRAY[{names}]")
    return f"DO {dollar_quote(body.strip())};"


def without_statistics(table: TableName, columns: tuple[str, ...], tree: str, policy: str) -> str:
    """Return a statement that keeps no statistics of these columns, and forgets what there is.

    It drops the tables' policy, which must be made after it. ``tree`` is a query of the table and
    its partitions and child tables, by name.
    """
    drop = _DROP_POLICIES.format(tree=tree, policy=policy)
    return _statement(table, columns, tree, policies=drop, forget=_FORGET, target=0)


def with_statistics(table: TableName, columns: tuple[str, ...], tree: str) -> str:
    """Return a statement that has the default of statistics kept again."""
    return _statement(table, columns, tree, policies="", forget="", target=-1)


def _statement(
    table: TableName,
    columns: tuple[str, ...],
    tree: str,
    *,
    policies: str,
    forget: str,
    target: int,
) -> str:
    literal, array = quote_text(str(table)), _array(columns)
    body = _KEEP.format(
        policies=policies,
        forget=forget.format(table=literal, columns=array),
        tree=tree,
        columns=array,
        target=target,
    )
    return f"DO {dollar_quote(body.strip())};"


def _array(names: tuple[str, ...]) -> str:
    return f"ARRAY[{', '.join(map(quote_text, names))}]::pg_catalog.name[]"
