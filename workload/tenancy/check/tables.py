"""Rules about tables: each that holds tenants' rows is protected, and tells of no other's."""

from workload.tenancy.check.findings import Rule

_TENANT_LIKE = (
    "^(tenant|tenant_?(id|uuid|key|no)|org_?(id|uuid)|organi[sz]ation_?(id|uuid)|"
    "(account|customer|workspace|company)_?(id|uuid))$"
)
RULES = (
    Rule(
        "rls_disabled",
        "hole",
        "protect it: septem tenancy sql '{name}'",
        """SELECT t.name, 'row level security is off' || CASE WHEN EXISTS (
             SELECT FROM pg_inherits i WHERE i.inhrelid = t.oid)
             THEN ' in this child table, which can be read by its own name' ELSE '' END
           FROM tenant_tables t WHERE NOT t.relrowsecurity""",
    ),
    Rule(
        "rls_not_forced",
        "hole",
        "ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        """SELECT t.name, 'its owner ' || quote_ident(o.rolname) || ' is not held by the policies'
           FROM tenant_tables t JOIN pg_roles o ON o.oid = t.relowner
           WHERE t.relrowsecurity AND NOT t.relforcerowsecurity""",
    ),
    Rule(
        "policy_missing",
        "note",
        "septem tenancy sql '{name}'",
        """SELECT t.name, 'no policy: nobody sees a row' FROM tenant_tables t
           WHERE t.relrowsecurity
             AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = t.oid)""",
    ),
    Rule(
        "tenant_nullable",
        "hole",
        "fill the rows without one, then set the tenant column of {name} NOT NULL",
        """SELECT t.name, 'the tenant column may be NULL: such a row is nobody''s, and a policy '
             'with IS NULL would be everybody''s'
           FROM tenant_tables t WHERE NOT t.attnotnull""",
    ),
    Rule(
        "no_row_level_security",
        "hole",
        "revoke it from the application's role, or replace {name} by a table or a view with "
        "security_invoker",
        """SELECT r.name, CASE r.relkind WHEN 'm' THEN 'a materialized view has'
             ELSE 'a foreign table has' END || ' no row level security, and a tenant column',
             NOT EXISTS (SELECT FROM app WHERE has_any_column_privilege(app.oid, r.oid, 'SELECT'))
           FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped, params
           WHERE r.relkind IN ('m', 'f') AND a.attname = params.tenant_column""",
    ),
    Rule(
        "tenant_column_of_another_name",
        "hole",
        "rename the column, or protect {name} with septem tenancy sql --column",
        f"""SELECT r.name, 'has the column ' || quote_ident(a.attname) || ' and not '
             || quote_ident(params.tenant_column)
           FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0
             AND NOT a.attisdropped, params
           WHERE r.relkind IN ('r', 'p') AND lower(a.attname) ~ '{_TENANT_LIKE}'
             AND a.attname <> params.tenant_column
             AND NOT (r.relrowsecurity AND r.relforcerowsecurity)
             AND NOT EXISTS (SELECT FROM tenant_tables t WHERE t.oid = r.oid)""",
    ),
    Rule(
        "rows_of_tenants_without_column",
        "hole",
        "give {name} a tenant column, in the foreign key too, and protect it",
        """SELECT DISTINCT r.name, 'refers to ' || t.name || ' and has no tenant column'
           FROM pg_constraint c JOIN relations r ON r.oid = c.conrelid
           JOIN tenant_tables t ON t.oid = c.confrelid
           WHERE c.contype = 'f' AND NOT (r.relrowsecurity AND r.relforcerowsecurity)
             AND NOT EXISTS (SELECT FROM tenant_tables own WHERE own.oid = r.oid)""",
    ),
    Rule(
        "unique_without_tenant",
        "hole",
        "make it unique within a tenant: add the tenant column to {name}",
        """SELECT i.indexrelid::regclass::text, 'unique in ' || t.name || ' without the tenant: an '
             'INSERT that fails tells that another tenant has the value',
             NOT EXISTS (SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place)
               LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
               LEFT JOIN pg_attrdef d ON d.adrelid = t.oid AND d.adnum = k.attnum
               WHERE k.place <= i.indnkeyatts AND NOT coalesce(a.attidentity <> ''
                 OR a.atttypid = 'uuid'::regtype
                 OR pg_get_expr(d.adbin, d.adrelid) ~ '^nextval[(]', false))
           FROM pg_index i JOIN tenant_tables t ON t.oid = i.indrelid
           WHERE i.indisunique AND NOT t.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
             AND NOT t.relispartition""",
    ),
    Rule(
        "exclusion_without_tenant",
        "hole",
        "add the tenant column WITH = to {name}",
        """SELECT c.conname::text, 'excludes in ' || t.name || ' across tenants'
           FROM pg_constraint c JOIN tenant_tables t ON t.oid = c.conrelid
           WHERE c.contype = 'x' AND NOT t.attnum = ANY (c.conkey)""",
    ),
    Rule(
        "foreign_key_across_tenants",
        "hole",
        "make {name} a key of both columns: (tenant, id) REFERENCES … (tenant, id)",
        """SELECT quote_ident(c.conname), 'from ' || s.name || ' to ' || t.name || ' without the '
             'tenant: its check sees every row, tells whether one is there, and links to it'
           FROM pg_constraint c JOIN relations s ON s.oid = c.conrelid
           JOIN tenant_tables t ON t.oid = c.confrelid
           WHERE c.contype = 'f' AND c.conparentid = 0 AND NOT t.attnum = ANY (c.confkey)""",
    ),
    Rule(
        "truncate_and_the_like",
        "hole",
        "REVOKE TRUNCATE, REFERENCES, TRIGGER ON TABLE {name} FROM PUBLIC and the application's "
        "role",
        """SELECT DISTINCT t.name, quote_ident(app.rolname) || ' has ' || p.privilege || CASE
             p.privilege WHEN 'TRUNCATE' THEN ', which no policy holds'
             WHEN 'TRIGGER' THEN ': its function would run in others'' sessions'
             ELSE ': a foreign key''s check sees every row' END
           FROM tenant_tables t, app, unnest(ARRAY['TRUNCATE', 'REFERENCES', 'TRIGGER'])
             AS p(privilege)
           WHERE has_table_privilege(app.oid, t.oid, p.privilege) AND NOT app.rolsuper""",
    ),
    Rule(
        "sequence_tells",
        "hole",
        "REVOKE SELECT, UPDATE ON SEQUENCE {name} FROM PUBLIC and the application's role: USAGE is "
        "enough to insert",
        """SELECT DISTINCT s.name, quote_ident(app.rolname) || ' may read or set it: last_value '
             'tells how many rows all tenants write'
           FROM relations s, app WHERE s.relkind = 'S' AND NOT app.rolsuper
             AND (has_sequence_privilege(app.oid, s.oid, 'SELECT')
               OR has_sequence_privilege(app.oid, s.oid, 'UPDATE'))""",
    ),
    Rule(
        "trigger",
        "hole",
        "see that the function of {name} copies no row into a table without policies; make it no "
        "SECURITY DEFINER",
        """SELECT quote_ident(g.tgname) || ' on ' || t.name, 'calls ' || p.oid::regprocedure
             || CASE WHEN p.prosecdef THEN ', which runs as its owner' ELSE '' END, NOT p.prosecdef
           FROM pg_trigger g JOIN tenant_tables t ON t.oid = g.tgrelid
           JOIN pg_proc p ON p.oid = g.tgfoid WHERE NOT g.tgisinternal AND g.tgparentid = 0""",
    ),
    Rule(
        "rewrite_rule",
        "note",
        "see what {name} does: a rule runs as the table's owner",
        """SELECT quote_ident(r.rulename) || ' on ' || t.name, 'a rule rewrites what is written'
           FROM pg_rewrite r JOIN tenant_tables t ON t.oid = r.ev_class""",
    ),
    Rule(
        "planner_statistics",
        "hole",
        "where values are secret, keep no statistics: septem tenancy sql … --no-statistics COLUMN "
        "for {name}",
        """SELECT t.name, 'EXPLAIN lets anybody compare guesses with what is common, and with '
             'samples, of every tenant''s values in ' || string_agg(v.kept, ', '
             ORDER BY v.place, v.kept), NOT bool_or(v.columns && params.no_statistics)
           FROM params, tenant_tables t, LATERAL (
             SELECT quote_ident(a.attname), a.attnum::int, ARRAY[a.attname] FROM pg_attribute a
             WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
               AND coalesce(a.attstattarget, -1) <> 0
             UNION ALL
             SELECT pg_get_indexdef(i.indexrelid, a.attnum, true), 10000, ARRAY(
               SELECT c.attname FROM pg_depend d JOIN pg_attribute c ON c.attrelid = d.refobjid
                 AND c.attnum = d.refobjsubid
               WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
                 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
             FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indexrelid
             WHERE i.indrelid = t.oid AND i.indkey[a.attnum - 1] = 0
               AND coalesce(a.attstattarget, -1) <> 0
             UNION ALL
             SELECT 'the statistics ' || quote_ident(s.stxname), 20000, ARRAY(
               SELECT c.attname FROM pg_depend d JOIN pg_attribute c ON c.attrelid = d.refobjid
                 AND c.attnum = d.refobjsubid
               WHERE d.classid = 'pg_statistic_ext'::regclass AND d.objid = s.oid
                 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid)
             FROM pg_statistic_ext s
             WHERE s.stxrelid = t.oid AND coalesce(s.stxstattarget, -1) <> 0
           ) AS v(kept, place, columns) GROUP BY t.name""",
    ),
    Rule(
        "publication",
        "note",
        "see who may subscribe to {name}: no policy holds a subscriber",
        """SELECT quote_ident(p.pubname), 'publishes ' || count(*) || ' tables with tenants'
           FROM pg_publication p, LATERAL pg_get_publication_tables(p.pubname::text) g
           JOIN tenant_tables t ON t.oid = g.relid GROUP BY p.pubname""",
    ),
)
