"""What makes the audit trail hold: signed checkpoints, and the keys of pseudonyms in Vault."""
