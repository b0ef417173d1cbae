"""For applications behind the sidecar: ``workload.mtls``, ``workload.tenancy``. Nothing is imported here."""
