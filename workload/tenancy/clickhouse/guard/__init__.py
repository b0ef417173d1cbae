"""The guard of queries: what is not understood is refused. Needs ``sqlglot``. Nothing here."""
