"""PostgreSQL: the tenant in each transaction. One module a driver; nothing is imported here."""
