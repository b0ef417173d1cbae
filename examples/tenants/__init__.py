"""Orders of several tenants in one PostgreSQL, behind the edge. README.md says how to run it."""
