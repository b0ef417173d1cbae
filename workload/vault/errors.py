"""What can go wrong with a call."""

from workload.errors import Fault


class VaultCallFault(Fault):
    """A call has no good answer. The message says where and what to do, and quotes nothing."""


class VaultAway(VaultCallFault):
    """No answer, or one that asks to try again: unreachable, frozen, sealed, standby, busy."""

    retryable = True


class VaultRefuses(VaultCallFault):
    """Our token or our login is refused: a policy, or an expired credential."""


class VaultHasNot(VaultCallFault):
    """There is nothing at this path."""


class VaultInvalid(VaultCallFault):
    """Vault understood the request and will not do it."""
