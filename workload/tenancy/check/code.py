"""Rules about views, functions and extensions: code that runs as somebody above the policies."""

from workload.tenancy.check.findings import Rule

RULES = (
    Rule(
        "view_as_its_owner",
        "hole",
        "ALTER VIEW {name} SET (security_invoker = true)",
        """SELECT v.name, 'reads tables with tenants as its owner ' || quote_ident(o.rolname)
             || CASE WHEN bool_or(x.above) THEN ', whom their policies do not hold' ELSE '' END,
             NOT bool_or(x.above)
           FROM relations v JOIN pg_roles o ON o.oid = v.relowner JOIN readers s ON s.oid = v.oid
           JOIN tenant_tables t ON t.oid = s.table_oid,
           LATERAL (SELECT o.rolsuper OR o.rolbypassrls OR (NOT t.relforcerowsecurity
             AND pg_has_role(o.oid, t.relowner, 'USAGE')) AS above) x
           WHERE v.relkind = 'v' AND NOT EXISTS (SELECT FROM unnest(v.reloptions) AS y(option)
             WHERE y.option ~ '^security_invoker=(true|on|1|yes)$')
           GROUP BY v.name, o.rolname""",
    ),
    Rule(
        "materialized_view",
        "hole",
        "REVOKE ALL ON {name} FROM PUBLIC and the application's role, or make it a view with "
        "security_invoker",
        """SELECT r.name, 'holds rows of ' || string_agg(t.name, ', ' ORDER BY t.name)
             || ', which no policy holds there',
             NOT EXISTS (SELECT FROM app WHERE has_any_column_privilege(app.oid, r.oid, 'SELECT'))
           FROM relations r JOIN readers s ON s.oid = r.oid
           JOIN tenant_tables t ON t.oid = s.table_oid
           WHERE r.relkind = 'm' GROUP BY r.name, r.oid""",
    ),
    Rule(
        "function_as_its_owner",
        "hole",
        "make {name} SECURITY INVOKER, or REVOKE EXECUTE from PUBLIC and the application's role, "
        "and set its search_path",
        """SELECT p.oid::regprocedure::text, quote_ident(app.rolname) || ' may call it, as '
             || quote_ident(o.rolname) || coalesce(', who ' || s.why, '')
             || CASE WHEN p.proconfig::text ~ 'search_path=' THEN ''
               ELSE ', with the caller''s search_path' END,
             s.oid IS NULL AND coalesce(p.proconfig::text ~ 'search_path=', false)
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           JOIN pg_roles o ON o.oid = p.proowner LEFT JOIN strong s ON s.oid = p.proowner, app
           WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
             AND NOT (n.nspname = 'septem_tenancy' AND p.proname = 'tenant_id')
             AND has_function_privilege(app.oid, p.oid, 'EXECUTE')
             AND has_schema_privilege(app.oid, n.oid, 'USAGE') AND NOT app.rolsuper""",
    ),
    Rule(
        "leakproof_function",
        "hole",
        "ALTER FUNCTION {name} NOT LEAKPROOF",
        """SELECT p.oid::regprocedure::text, 'is LEAKPROOF: PostgreSQL may call it with rows that '
             'the policies hide' FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
           WHERE p.proleakproof AND n.nspname NOT IN ('pg_catalog', 'information_schema')
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')""",
    ),
    Rule(
        "extension",
        "hole",
        "DROP EXTENSION {name}, or revoke its functions and servers from PUBLIC",
        """SELECT quote_ident(e.extname), v.why, v.is_note OR NOT EXISTS (SELECT FROM app
               JOIN pg_depend d ON d.refobjid = e.oid AND d.deptype = 'e'
                 AND d.classid = 'pg_proc'::regclass
               WHERE has_function_privilege(app.oid, d.objid, 'EXECUTE'))
           FROM pg_extension e JOIN (VALUES
             ('dblink', 'opens connections from the server, as whom it likes', false),
             ('postgres_fdw', 'opens connections from the server, by its user mappings', true),
             ('file_fdw', 'reads the server''s files', true),
             ('adminpack', 'writes the server''s files', false),
             ('pageinspect', 'reads pages of tables', true),
             ('pg_stat_statements', 'shows statements of a role''s other sessions', true),
             ('plpython3u', 'a language without bounds', true),
             ('plperlu', 'a language without bounds', true), ('pltclu', 'a language without bounds',
             true)) AS v(name, why, is_note) ON v.name = e.extname""",
    ),
    Rule(
        "foreign_server",
        "hole",
        "REVOKE USAGE ON FOREIGN SERVER {name} FROM PUBLIC and the application's role",
        """SELECT quote_ident(f.srvname), quote_ident(app.rolname) || ' may use it: its user '
             'mapping decides as whom'
           FROM pg_foreign_server f, app WHERE has_server_privilege(app.oid, f.oid, 'USAGE')
             AND NOT app.rolsuper""",
    ),
    Rule(
        "seal_keys_open",
        "hole",
        "REVOKE ALL ON septem_tenancy.seal_keys FROM PUBLIC, {name}, and make new keys",
        """SELECT quote_ident(app.rolname), 'can read or write the keys of seals'
           FROM app JOIN pg_class c ON c.relname = 'seal_keys'
           JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'septem_tenancy'
           WHERE has_any_column_privilege(app.oid, c.oid, 'SELECT, INSERT, UPDATE')
             OR has_table_privilege(app.oid, c.oid, 'DELETE')""",
    ),
)
