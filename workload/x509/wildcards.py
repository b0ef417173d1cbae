"""Which names a certificate's DNS name covers: the one rule of wildcards. Pure.

Names are in the form of ``on_demand.names``: A-labels in lower case, without a dot at the end.
"""


def wildcard_of(name: str) -> str:
    """Return the wildcard that covers a name: its first label replaced (RFC 6125 §6.4.3)."""
    return f"*.{name.partition('.')[2]}"


def covers(pattern: str, name: str) -> bool:
    """Return whether a certificate's name is this name, or the wildcard that covers it.

    A wildcard stands for exactly one label, and stands above at least one.
    """
    return pattern == name or ("." in name and pattern == wildcard_of(name))
