"""What a client accepts: the lists of ``Accept`` and ``Accept-Encoding`` (RFC 9110 §12.4, §12.5).

A list that can't be read is one that names nothing. What is said of an element beside its weight
is compared as text, so that a wish with an unknown parameter is a wish for something else.
"""

import re
from typing import NamedTuple

_MAX_ELEMENTS = 32
_WEIGHT = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII)


class Wish(NamedTuple):
    """One element of a list: a media type or a coding in lower case, with its parameters."""

    name: str
    parameters: frozenset[str]
    """Such as ``version=1.0.0``, without white space."""
    weight: float
    """``q``, from 0 (refused) to 1."""


def read_wishes(header: str) -> list[Wish]:
    """Return the elements of a list, in their order; those that can't be read are left out."""
    wishes = (_read(each) for each in header.split(",", _MAX_ELEMENTS)[:_MAX_ELEMENTS])
    return [wish for wish in wishes if wish is not None]


def weight_of(wishes: list[Wish], name: str, parameter: str = "") -> float:
    """Return the highest weight of ``name`` among the wishes that also give ``parameter``."""
    return max(
        (
            wish.weight
            for wish in wishes
            if wish.name == name and (not parameter or parameter in wish.parameters)
        ),
        default=0.0,
    )


def _read(element: str) -> Wish | None:
    name, *given = (part.strip().lower() for part in element.split(";"))
    weight, parameters = 1.0, set()
    for part in given:
        key, _, value = (each.strip() for each in part.partition("="))
        if key != "q":
            parameters.add(f"{key}={value.strip(chr(34))}")
        elif _WEIGHT.fullmatch(value):
            weight = float(value)
        else:
            return None
    return Wish(name, frozenset(parameters), weight) if name else None
