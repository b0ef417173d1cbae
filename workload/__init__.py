"""For applications behind the sidecar: ``workload.mtls``, ``workload.passwords``.

Nothing is imported here.
"""
