"""For applications behind the sidecar: ``workload.mtls``, ``workload.passwords``, ``workload.tenancy``.

Nothing is imported here.
"""
