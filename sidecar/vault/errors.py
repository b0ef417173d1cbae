"""The faults of Vault, by their remedy."""

from sidecar.common.errors import Fault


class VaultFault(Fault):
    """The base of Vault's faults."""

    words: str = ""
    """Vault's own words, if it said any: bounded, and without secrets."""


class VaultUnreachable(VaultFault):
    """No answer: Vault or the network is down or frozen."""

    retryable = True
    is_outage = True
    remedy = (
        "Bring Vault back, or the network to it. What was read before stays in force meanwhile."
    )


class VaultSealed(VaultFault):
    """Vault runs but is sealed, or is a standby that can't answer."""

    retryable = True
    is_outage = True
    remedy = (
        "Unseal Vault (`vault operator unseal` on its host), or set vault.address to the node that"
        " is active. What was read before stays in force meanwhile."
    )


class VaultForbidden(VaultFault):
    """Our token or our login is refused: a policy, or an expired credential."""

    remedy = (
        "Give the policy of the sidecar's role what it lacks on that path (`sidecar vault policy`"
        " prints all of it), or renew the credential of vault.auth."
    )


class VaultNotFound(VaultFault):
    """Nothing exists at this path."""

    remedy = "Write the entry again, or correct its mount and path in the configuration."


class VaultConflict(VaultFault):
    """Another client wrote first: the check-and-set version is no longer the latest."""

    retryable = True


class VaultStale(VaultFault):
    """The answer is older than one before: it comes from a standby that lags."""

    retryable = True


class VaultRejected(VaultFault):
    """Vault refused the request as invalid, or its answer can't be read."""
