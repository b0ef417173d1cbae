"""Backup archives that are sealed before they leave the host: see docs/backups.md.

``archive`` seals and opens streams with a data key in hand and needs ``cryptography`` alone;
``keys`` and ``vault_keys`` have Vault's transit engine wrap data keys; ``command`` is the
command ``septem backup``.
"""
