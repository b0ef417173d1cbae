-- Roles and databases, by a superuser. Passwords, or certificates, are your platform's.
CREATE ROLE orders_owner LOGIN;
CREATE ROLE orders_app LOGIN;
CREATE ROLE orders_accounts LOGIN;
-- Sessions of one role see each other's statements in pg_stat_activity: not these.
ALTER ROLE orders_app SET track_activities = off;
CREATE DATABASE orders OWNER orders_owner;
CREATE DATABASE accounts OWNER orders_owner;
REVOKE ALL ON DATABASE accounts FROM PUBLIC;
GRANT CONNECT ON DATABASE accounts TO orders_accounts;
