"""For applications behind the sidecar: ``mtls``, ``tenancy``, ``encryption``, ``passwords``.

Nothing is imported here.
"""
