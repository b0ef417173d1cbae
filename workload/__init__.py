"""For applications behind the sidecar: ``workload.mtls``. Nothing is imported here."""
