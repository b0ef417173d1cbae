"""For applications behind the sidecar: its parts are the packages below.

Nothing is imported here.
"""
