"""Backup archives that are sealed before they leave the host: see docs/backups.md.

``archive`` seals and opens streams with a data key in hand and needs ``cryptography`` alone;
``vault_keys`` has Vault's transit engine wrap the data keys; ``command`` is ``septem backup``.
"""
