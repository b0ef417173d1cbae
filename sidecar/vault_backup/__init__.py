"""What a sidecar has in Vault KV, sealed into an archive and written back. See docs/backups.md."""
