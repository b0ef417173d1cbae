"""Rules about roles: who can step round the policies, and what the application's role can do."""

from workload.tenancy.check.findings import Rule

RULES = (
    Rule(
        "role_above_policies",
        "hole",
        "give the application a role that is none of this: septem tenancy sql --role",
        """SELECT quote_ident(app.rolname), why FROM app, LATERAL (VALUES
             (app.rolsuper, 'is a superuser: no policy holds it'),
             (app.rolbypassrls, 'has BYPASSRLS: no policy holds it'),
             (app.rolcreaterole, 'has CREATEROLE: it can make itself a member of other roles'),
             (app.rolreplication, 'has REPLICATION: it can read the whole database as a stream')
           ) AS v(is_so, why) WHERE is_so""",
    ),
    Rule(
        "role_member_of_stronger",
        "hole",
        "REVOKE the membership by which {name} reaches it",
        """SELECT quote_ident(app.rolname), 'is, or is a member of, ' || quote_ident(s.rolname)
             || ', which ' || s.why FROM app, strong s
           WHERE pg_has_role(app.oid, s.oid, 'MEMBER') AND NOT app.rolsuper
             AND (s.oid <> app.oid OR s.why LIKE 'owns%%')""",
    ),
    Rule(
        "role_reaches_the_server",
        "hole",
        "REVOKE that role from {name}",
        """SELECT quote_ident(app.rolname), 'is a member of ' || r.rolname || ': ' || v.why,
             v.is_note
           FROM app JOIN (VALUES
             ('pg_read_server_files', 'reads the files of the tables', false),
             ('pg_write_server_files', 'writes the server''s files', false),
             ('pg_execute_server_program', 'runs programs as the server', false),
             ('pg_read_all_stats', 'sees the statements of other sessions', false),
             ('pg_create_subscription', 'connects as the server', false),
             ('pg_database_owner', 'owns the database', false),
             ('pg_read_all_data', 'reads tables that have no policy', true),
             ('pg_write_all_data', 'writes tables that have no policy', true),
             ('pg_signal_backend', 'ends other tenants'' sessions', true)
           ) AS v(role, why, is_note) ON true JOIN pg_roles r ON r.rolname = v.role
           WHERE pg_has_role(app.oid, r.oid, 'MEMBER') AND NOT app.rolsuper""",
    ),
    Rule(
        "server_files",
        "hole",
        "REVOKE EXECUTE ON FUNCTION {name} FROM PUBLIC and the application's role",
        """SELECT p.oid::regprocedure::text, quote_ident(app.rolname) || ' may call it'
           FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, app
           WHERE n.nspname = 'pg_catalog' AND NOT app.rolsuper AND p.proname IN ('pg_read_file',
             'pg_read_binary_file', 'pg_ls_dir', 'lo_import', 'lo_export', 'pg_stat_file',
             'pg_logical_slot_get_changes', 'pg_logical_slot_peek_changes')
             AND has_function_privilege(app.oid, p.oid, 'EXECUTE')
             AND NOT (p.proname ~ '^pg_logical' AND NOT app.rolreplication)""",
    ),
    Rule(
        "may_create",
        "hole",
        "REVOKE CREATE, TEMPORARY there from PUBLIC and {name}",
        """SELECT quote_ident(app.rolname), v.what FROM app, LATERAL (
             SELECT 'may make temporary tables: one called as yours takes the next tenant''s rows '
               'in the same pooled session' AS what
             WHERE has_database_privilege(app.oid, current_database(), 'TEMPORARY')
             UNION ALL SELECT 'may make schemas, extensions and publications'
             WHERE has_database_privilege(app.oid, current_database(), 'CREATE')
             UNION ALL SELECT 'may make tables and functions in ' || quote_ident(n.nspname)
             FROM pg_namespace n WHERE n.nspname !~ '^pg_'
               AND has_schema_privilege(app.oid, n.oid, 'CREATE')) v WHERE NOT app.rolsuper""",
    ),
    Rule(
        "default_privileges",
        "hole",
        "ALTER DEFAULT PRIVILEGES FOR ROLE {name} … REVOKE; grant with each table's migration",
        """SELECT quote_ident(o.rolname), 'a new table of it is open to '
             || coalesce(quote_ident(g.rolname), 'PUBLIC') || ' before it has a policy'
           FROM pg_default_acl d JOIN pg_roles o ON o.oid = d.defaclrole,
             LATERAL aclexplode(d.defaclacl) x LEFT JOIN pg_roles g ON g.oid = x.grantee
           WHERE d.defaclobjtype = 'r' AND (x.grantee = 0 OR x.grantee IN (SELECT oid FROM app))
             AND x.privilege_type IN ('SELECT', 'UPDATE', 'DELETE', 'INSERT', 'TRUNCATE')
           GROUP BY o.rolname, g.rolname""",
    ),
    Rule(
        "setting_stays",
        "hole",
        "ALTER ROLE or DATABASE {name} RESET it",
        """SELECT coalesce(quote_ident(r.rolname), quote_ident(current_database())),
             'begins each session with ' || split_part(v.setting, '=', 1),
             v.setting ~ '^row_security='
           FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole,
             unnest(s.setconfig) AS v(setting)
           WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname =
             current_database())) AND v.setting ~
             '^(app[.]tenant_|row_security=|session_replication_role=|role=)'""",
    ),
    Rule(
        "others_above_policies",
        "note",
        "let nobody but people and jobs log in as {name}",
        """SELECT quote_ident(r.rolname), string_agg(DISTINCT CASE WHEN s.oid = r.oid THEN s.why
             ELSE 'is a member of ' || quote_ident(s.rolname) || ', which ' || s.why END, '; ')
           FROM pg_roles r JOIN strong s ON s.oid = r.oid
             OR (NOT r.rolsuper AND pg_has_role(r.oid, s.oid, 'MEMBER'))
           WHERE r.rolcanlogin AND r.oid NOT IN (SELECT oid FROM app) GROUP BY r.rolname""",
    ),
    Rule(
        "statements_of_others",
        "note",
        "send values as parameters, or as superuser: ALTER ROLE {name} SET track_activities = off",
        """SELECT quote_ident(app.rolname), 'sees the text of all its sessions'' statements in '
             'pg_stat_activity' FROM app
           WHERE NOT EXISTS (SELECT FROM pg_db_role_setting s
             WHERE s.setrole = app.oid AND 'track_activities=off' = ANY (s.setconfig))""",
    ),
    Rule(
        "large_objects",
        "note",
        "keep files in a table with a tenant column",
        """SELECT quote_ident(app.rolname), count(*) || ' large objects: no policy holds them'
           FROM app JOIN pg_largeobject_metadata l ON l.lomowner = app.oid GROUP BY app.rolname""",
    ),
)
