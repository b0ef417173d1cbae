"""The scenario ``tenants``: the application of examples/tenants under attack."""
