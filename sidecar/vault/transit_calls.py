"""Calls of transit, by hvac's client. They raise the exceptions of hvac."""

from typing import Any

from sidecar.vault.answers import TransitKey, transit_key_of


def read_key(client: Any, *, mount: str, name: str) -> TransitKey:
    """Return the public halves of a key's versions."""
    return transit_key_of(client.secrets.transit.read_key(name, mount_point=mount)["data"])


def new_data_key(client: Any, *, mount: str, name: str) -> tuple[str, str]:
    """Return a new key of 256 bits in base64, and the same wrapped by a key of transit."""
    answer = client.secrets.transit.generate_data_key(name, "plaintext", mount_point=mount)
    return str(answer["data"]["plaintext"]), str(answer["data"]["ciphertext"])


def open_data_key(client: Any, *, mount: str, name: str, wrapped: str) -> str:
    """Return the key that was wrapped, in base64."""
    answer = client.secrets.transit.decrypt_data(name, wrapped, mount_point=mount)
    return str(answer["data"]["plaintext"])
