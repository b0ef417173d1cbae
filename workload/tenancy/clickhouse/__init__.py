"""ClickHouse's double isolation (SECURITY-MODEL §7): row policies, and a guard before each query.

``protection`` writes what holds in the server, ``logins`` makes the user that a tenant is there,
``guard`` rewrites and verifies queries, ``driver`` does all of it for clickhouse-connect. Nothing
is imported here.
"""
