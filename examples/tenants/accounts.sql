-- The database "accounts": who may log in, and the wrapped keys of sealed fields. A database of
-- its own, with a role of its own: SQL that is injected into a query of orders can't reach it.
CREATE TABLE accounts (
  email         text PRIMARY KEY,
  tenant_id     uuid NOT NULL,
  password_hash text NOT NULL
);
CREATE TABLE field_keys (
  tenant     varchar(1024) COLLATE "C",
  data_class varchar(1024) COLLATE "C",
  subject    varchar(1024) COLLATE "C",
  purpose    varchar(16),
  version    int,
  kek        varchar(600) NOT NULL,
  wrapped    varchar(512),
  created_at double precision NOT NULL,
  PRIMARY KEY (tenant, data_class, subject, purpose, version)
);
GRANT SELECT, UPDATE ON accounts TO orders_accounts;
GRANT SELECT, INSERT, UPDATE ON field_keys TO orders_accounts;
