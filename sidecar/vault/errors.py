"""What can go wrong with Vault, by what helps against it."""

from sidecar.common.errors import Fault


class VaultFault(Fault):
    """The base of Vault's faults."""


class VaultUnreachable(VaultFault):
    """No answer: gone, frozen, or the network is."""

    retryable = True


class VaultSealed(VaultFault):
    """Vault runs and is sealed, or stands by without a leader."""

    retryable = True


class VaultForbidden(VaultFault):
    """Our token or our login is refused: a policy, or an expired credential."""


class VaultNotFound(VaultFault):
    """There is nothing at this path."""


class VaultConflict(VaultFault):
    """Somebody else wrote first: the check-and-set version is no longer the latest."""

    retryable = True


class VaultStale(VaultFault):
    """The answer is older than one before: it comes from a standby that lags."""

    retryable = True


class VaultRejected(VaultFault):
    """Vault understood the request and will not do it, or answered what we can't read."""
