"""What a configuration needs of Vault, and whether an installation has all that it needs."""
