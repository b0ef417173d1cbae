"""Tenancy for applications behind the sidecar: who a request is for, and rows of that tenant alone.

``edge`` says whom the trusted headers are believed of, ``asgi``, ``wsgi`` and ``rpc`` put what
they say into a context variable (``context``), ``postgres`` carries it into each transaction, and
``septem tenancy`` writes and checks the policies that hold there. Nothing is imported here.
"""
