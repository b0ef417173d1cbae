-- The database "orders". Run as the owner of the database; the protection comes after it:
--   septem tenancy sql orders --role orders_app | psql …
CREATE TABLE orders (
  tenant_id    uuid   NOT NULL,
  number       int    NOT NULL CHECK (number > 0),
  item         text   NOT NULL,
  cents        bigint NOT NULL,
  email_sealed bytea,
  email_index  bytea,
  -- The tenant is in the key: a key that all tenants share tells which numbers others have.
  PRIMARY KEY (tenant_id, number)
);
CREATE INDEX ON orders (tenant_id, email_index);
-- The planner's statistics are of all tenants, and EXPLAIN compares guesses with them.
ALTER TABLE orders
  ALTER tenant_id SET STATISTICS 0, ALTER number SET STATISTICS 0, ALTER item SET STATISTICS 0,
  ALTER cents SET STATISTICS 0, ALTER email_sealed SET STATISTICS 0,
  ALTER email_index SET STATISTICS 0;
