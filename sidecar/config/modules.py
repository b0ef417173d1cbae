"""The settings of signed front-end bundles (SECURITY-MODEL §6)."""

from typing import Annotated

from msgspec import Meta

from sidecar.config.base import MediaType, Settings, Text, VaultPath


class Modules(Settings, frozen=True):
    """Bundles of modules, verified when they are installed (SECURITY-MODEL §6).

    ``path`` is the entry of Vault KV v2 that lists the publishers' keys; it is read every
    ``keys.poll_seconds``. A bundle is part of one message from Envoy, so its limit is below
    ``listen.authz.max_message_bytes``.
    """

    path: VaultPath = "modules/publishers"
    mount: VaultPath = "secret"
    max_bundle_bytes: Annotated[int, Meta(ge=1024, le=67_108_864)] = 4_000_000
    max_waiting: Annotated[int, Meta(ge=1, le=256)] = 8
    owner_roles: Annotated[tuple[Text, ...], Meta(max_length=16)] = ()
    content_types: Annotated[tuple[MediaType, ...], Meta(min_length=1, max_length=16)] = (
        "application/javascript",
        "application/octet-stream",
        "text/javascript",
    )
