"""What keeps a release from being made."""


class ReleaseFault(Exception):
    """The message says what is wrong, and what to do."""
