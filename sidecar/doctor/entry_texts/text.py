"""What is said about one kind of entry of Vault; each need names its own. Pure.

``docs/reference-vault.md`` is made from these texts, so they are Markdown in whole sentences, with
the names of settings in backticks. A limit is the constant of the loader that holds it.
"""

from typing import NamedTuple


class EntryText(NamedTuple):
    """One kind of entry, or of call: what it is for, its content, and what happens without it."""

    title: str
    purpose: str
    content: tuple[tuple[str, str], ...]
    """The fields, each with its type and limits; of a call, what is sent and answered."""
    read: str
    """Whether it is polled or read at once, and how often."""
    missing: str
    malformed: str
    away: str
    """What happens while Vault does not answer."""
    page: str
    """A link to the page that explains it."""


class OpenRead(NamedTuple):
    """Something that Vault answers without a policy."""

    path: str
    purpose: str
    away: str
