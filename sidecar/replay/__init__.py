"""Recorded decisions made again under another configuration (``sidecar replay``).

Rules are not repeated here: a request is decided by ``sidecar.authz.evaluate``, with what its
audit line recorded where the server has a signature, a certificate or a poller. What a line does
not tell stays open, and a request that it decides is *unknown*, never guessed.
"""
