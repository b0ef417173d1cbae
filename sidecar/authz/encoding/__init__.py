"""Between protobuf and the decision: the only package of ``authz`` that knows the wire.

Messages are those of ``proto/ext_authz.proto``; Envoy's behaviour with each field is
noted where it decides how the field is used. ``request`` reads what Envoy asks, ``allowed``
and ``denied`` write the two kinds of answers, ``fields`` what both have in common, and
``response`` reads an answer back, for those who show one.
"""
