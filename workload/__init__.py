"""For applications behind the sidecar: ``mtls``, ``tenancy``. Nothing is imported here."""
