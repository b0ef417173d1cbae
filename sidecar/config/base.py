"""What every section of the settings is made of."""

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str, Meta(min_length=1, max_length=2048)]
Label = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Method = Annotated[str, Meta(pattern=r"^[A-Z]{1,16}$")]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every section: frozen, and an unknown key is an error."""
