"""What operators are told about the entries of Vault: shape, reads, and what happens without."""
