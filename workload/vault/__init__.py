"""The few calls of Vault's API that a service needs: for its own certificate, for data keys."""
