"""What Vault's policy must allow, as docs/certificates.md has it: the tests run with this."""

FLEET_POLICY = """\
path "secret/data/septem/certificates/*"     { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/certificates/*" { capabilities = ["create", "read", "update"] }
path "secret/data/septem/acme/*"             { capabilities = ["create", "read", "update"] }
path "secret/metadata/septem/acme/*"         { capabilities = ["create", "read", "update"] }
path "secret/data/septem/dns/*"              { capabilities = ["read"] }
path "secret/data/septem/acme-dns/*"         { capabilities = ["read"] }
path "secret/data/septem/tls/*"              { capabilities = ["read"] }
path "secret/metadata/septem/tls/*"          { capabilities = ["read"] }
"""
