"""A fleet of sidecars on one Vault, simulated: what each asks of Vault, and what grows how."""
