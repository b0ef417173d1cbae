"""Applications behind the Septem Sidecar, to read and to copy."""
