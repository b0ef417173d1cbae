"""Certificates, names and trust: what the sidecar and applications reckon alike. Pure."""
