"""``sidecar revoke``: writes a revocation into Vault KV, and waits until it is in force.

The entry is read, the revocation is added to what it has, and it is written with check-and-set:
two operators at once lose nothing. Then every sidecar that is named is asked to read it, until
each of its processes decides by it.
"""

import argparse
import asyncio
import json
import re
import sys
import time
from http import HTTPStatus
from typing import Any

import msgspec

from sidecar.authz.token_policy import issuer_policy
from sidecar.cli.admin_client import AdminFault, request_admin
from sidecar.cli.arguments import add_config, add_token_file, time_argument
from sidecar.cli.output import add_json, print_json
from sidecar.cli.vault_token import operator_token
from sidecar.common.clock import monotonic_seconds, wall_seconds
from sidecar.common.errors import Denied, Fault
from sidecar.common.printable import printable
from sidecar.config import model
from sidecar.config.load import load_config
from sidecar.tokens.revocation_edit import NewRevocation, RevokedKid, add_revocation
from sidecar.tokens.revocation_entry import (
    RevocationFault,
    RevokedSubject,
    RevokedTenant,
    RevokedToken,
)
from sidecar.tokens.strict import decode_base64url, decode_json_object
from sidecar.tokens.verifier import derived_id
from sidecar.vault.client import VaultClient
from sidecar.vault.errors import VaultConflict, VaultNotFound
from sidecar.vault.kv_write import write_version

EXIT_OK, EXIT_FAULT = 0, 1
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.2
_MAX_TOKEN_BYTES = 65_536
_ENTRY = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_KINDS = {
    "token": "one token, by its jti; or read the token itself from standard input",
    "subject": "every token that was issued to a subject until now",
    "tenant": "every token that was issued for a tenant until now: its kill switch",
    "kid": "every token that was signed with a key",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands of ``revoke``."""
    parser.description = (
        "Write a revocation into the entry of keys.revocations in Vault, beside what it has, and "
        "wait until every process of the running sidecar decides by it."
    )
    kinds = parser.add_subparsers(title="what to revoke", metavar="KIND", required=True)
    for kind, words in _KINDS.items():
        command = kinds.add_parser(kind, help=words, description=f"Revoke {words}.")
        if kind == "token":
            command.add_argument("jti", metavar="JTI", nargs="?")
            command.add_argument(
                "--exp", type=time_argument, metavar="TIME", help="when it expires (with JTI)"
            )
        else:
            command.add_argument("value", metavar=kind.upper())
        if kind in {"token", "subject"}:
            command.add_argument(
                "--iss", metavar="ISS", help="its issuer (default: that of the settings, if one)"
            )
        if kind in {"subject", "tenant"}:
            command.add_argument(
                "--before",
                type=time_argument,
                metavar="TIME",
                help="revoke what was issued before this time (default: now)",
            )
        _add_common(command)
        command.set_defaults(run=_revoke, kind=kind)


def _add_common(command: argparse.ArgumentParser) -> None:
    add_config(command)
    add_token_file(command, "write the entry, which the sidecar's own may not")
    command.add_argument(
        "--entry", metavar="NAME", help="write to this entry below keys.revocations.path"
    )
    command.add_argument(
        "--admin",
        action="append",
        metavar="ADDRESS",
        help="the admin port of a sidecar to wait for; may be repeated (default: that of --config)",
    )
    add_json(command, "what was written, and which sidecars decide by it,")
    command.add_argument(
        "--wait",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait for all of them; 0: only write (default: 60)",
    )


def _revoke(options: argparse.Namespace) -> int:
    config = load_config(options.config)
    settings = config.keys.revocations
    if settings is None:
        raise Fault(
            f"{options.config} has no keys.revocations, so no sidecar with it reads revocations: "
            "add that section"
        )
    new = _revocation(options, config)
    path = settings.path if options.entry is None else _below(settings, options.entry)
    vault = msgspec.structs.replace(config.vault, auth=operator_token(options.token_file))
    where = f"Vault entry {settings.mount}/{path}"
    version = asyncio.run(_write(vault, settings.mount, path, new))
    if not options.json:
        written = "says so already" if version is None else f"written as version {version}"
        print(printable(f"{where}{' ' if version is None else ': '}{written}"))
    deadline = monotonic_seconds() + options.wait
    named = options.admin or [config.listen.admin.address]
    asked = named if options.wait else []
    held = {each: _wait_for(each, deadline, quiet=options.json) for each in asked}
    if options.json:
        entry = f"{settings.mount}/{path}"
        print_json({"entry": entry, "version": version, "held": held})
    return EXIT_OK if all(held.values()) else EXIT_FAULT


def _revocation(options: argparse.Namespace, config: model.Config) -> NewRevocation:
    match options.kind:
        case "kid":
            return RevokedKid(options.value)
        case "tenant":
            return RevokedTenant(options.value, _before(options))
        case "subject":
            return RevokedSubject(_issuer(options.iss, config), options.value, _before(options))
        case _:
            return _token(options, config)


def _before(options: argparse.Namespace) -> float:
    """Return the watermark. A token of this very second is revoked too: ``iat`` has no fraction."""
    before: float | None = options.before
    return float(int(wall_seconds()) + 1) if before is None else before


def _issuer(given: str | None, config: model.Config) -> str:
    issuers = [each.issuer for each in config.tokens.issuers]
    if given is None and len(issuers) == 1:
        return issuers[0]
    if given not in issuers:
        raise Fault(f"--iss must be one of the issuers of the settings: {', '.join(issuers)}")
    return given


def _token(options: argparse.Namespace, config: model.Config) -> RevokedToken:
    if options.jti is not None:
        if options.exp is None:
            raise Fault("--exp is needed with a JTI: until then the revocation is kept")
        return RevokedToken(_issuer(options.iss, config), options.jti, options.exp)
    text = sys.stdin.buffer.read(_MAX_TOKEN_BYTES + 1).strip()
    try:
        head, payload, _ = text.split(b".")
        claims = decode_json_object(decode_base64url(payload, "the payload"), "the payload")
        issuer, exp = claims["iss"], claims["exp"]
        jti = _id_of(head + b"." + payload, claims, config)
        return msgspec.convert({"iss": issuer, "jti": jti, "exp": exp}, RevokedToken)
    except (ValueError, KeyError, Denied, msgspec.ValidationError):
        raise Fault(
            "standard input is no access token with iss, jti and exp; give the JTI and --exp"
        ) from None


def _id_of(signed: bytes, claims: dict[str, Any], config: model.Config) -> Any:
    """Return the id by which the edge knows a token: where its issuer has it, or derived."""
    entry = next((e for e in config.tokens.issuers if e.issuer == claims["iss"]), None)
    mapping = None if entry is None else issuer_policy(entry, config.tokens).mapping
    if entry is None or mapping is None:
        return claims["jti"]
    required = "jti" in config.tokens.required_of(entry)
    return mapping.read_token_id(claims, required=required) or derived_id(signed)


def _below(settings: model.RevocationsSettings, name: str) -> str:
    if not settings.spread:
        raise Fault("keys.revocations.spread is false: entries below its path are not read")
    if _ENTRY.fullmatch(name) is None:
        raise Fault("--entry must be a name of letters, digits, '_', '.' and '-', without a slash")
    return f"{settings.path}/{name}"


async def _write(settings: model.Vault, mount: str, path: str, new: NewRevocation) -> int | None:
    """Add a revocation; return the new version, or ``None`` where it is held already."""
    vault = VaultClient(settings, clock=monotonic_seconds)
    try:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await _write_once(vault, mount, path, new)
            except VaultConflict:
                await asyncio.sleep(_PAUSE_SECONDS)
        return await _write_once(vault, mount, path, new)
    finally:
        await vault.close()


async def _write_once(vault: VaultClient, mount: str, path: str, new: NewRevocation) -> int | None:
    try:
        entry = await vault.read_kv(mount, path)
        data, version = entry.data, entry.version
    except VaultNotFound:
        data, version = {}, await vault.read_kv_version(mount, path)
    try:
        changed = add_revocation(data, new)
    except RevocationFault as fault:
        raise Fault(
            f"Vault entry {mount}/{path} is not understood, and nothing was written: {fault}"
        ) from None
    return None if changed is None else await write_version(vault, mount, path, changed, version)


def _wait_for(address: str, deadline: float, *, quiet: bool) -> bool:
    """Ask a sidecar to read, until all its processes hold the result; say how that went."""
    while True:
        try:
            status, answer = request_admin(address, "POST", "/keys/refresh")
        except AdminFault as fault:
            status, answer = HTTPStatus.SERVICE_UNAVAILABLE, {"error": str(fault)}
        if status == HTTPStatus.OK:
            if not quiet:
                print(printable(f"{address}: every process decides by it"))
            return True
        if monotonic_seconds() >= deadline:
            why = answer.get("error", f"the admin port answered {status}")
            said = printable(f"sidecar: {address}: not every process decides by it yet: {why}")
            print(json.dumps({"error": said}) if quiet else said, file=sys.stderr)
            return False
        time.sleep(_PAUSE_SECONDS)
