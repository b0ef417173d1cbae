"""What goes wrong with secrets."""

from workload.errors import Fault


class SecretsFault(Fault):
    """A secret is not there, or not of the form it should have; the message names its place."""


class SecretsAway(SecretsFault):
    """What was held is too old to be used, and nothing newer can be had now."""

    retryable = True
