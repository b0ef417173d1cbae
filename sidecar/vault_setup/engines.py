"""Namespaces, mounts and transit keys that the settings name. Pure."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from sidecar.config import model
from sidecar.doctor.needs import mounts_of
from sidecar.doctor.vault_paths import VaultEngine, VaultMount
from sidecar.vault_setup.pki import ROOT_TTL, root_step
from sidecar.vault_setup.step import WriteStep, parameters, shell, usable

_KV_VERSION = "2"
_ES256, _ED25519, _AES = "ecdsa-p256", "ed25519", "aes256-gcm96"
_NAMES = {
    VaultEngine.KV: "KV version 2",
    VaultEngine.PKI: "PKI",
    VaultEngine.TRANSIT: "transit",
}
_OPTIONS: Mapping[VaultEngine, Mapping[str, Any]] = {
    VaultEngine.KV: {"options": {"version": _KV_VERSION}},
    VaultEngine.PKI: {"config": {"max_lease_ttl": ROOT_TTL}},
    VaultEngine.TRANSIT: {},
}
_FLAGS = {
    VaultEngine.KV: (f"-version={_KV_VERSION}",),
    VaultEngine.PKI: (f"-max-lease-ttl={ROOT_TTL}",),
    VaultEngine.TRANSIT: (),
}


def mount_steps(config: model.Config) -> Iterator[WriteStep]:
    """Yield a step for each engine, and after each PKI one for its root."""
    for mount in mounts_of(config):
        yield _mount(mount)
        if mount.engine is VaultEngine.PKI:
            yield root_step(mount.path, mount.setting)


def _mount(mount: VaultMount) -> WriteStep:
    engine = mount.engine
    flags = (f"-path={mount.path}", *_FLAGS[engine])
    return WriteStep(
        name=f"{_NAMES[engine]} at {mount.path}",
        settings=(mount.setting,),
        command=shell("bao", "secrets", "enable", *flags, str(engine)),
        looked_at="sys/mounts",
        picked=f"{mount.path}/",
        written=f"sys/mounts/{mount.path}",
        data=lambda: {"type": str(engine), **_OPTIONS[engine]},
        judge=partial(judge_mount, engine),
    )


def judge_mount(engine: VaultEngine, held: Mapping[str, Any]) -> str:
    """Return why an engine that is mounted there is not the one that is needed."""
    kind = str(held.get("type"))
    if kind != engine:
        return f"{kind[:40]} is mounted there: name another mount in the settings"
    version = str((held.get("options") or {}).get("version"))
    if engine is VaultEngine.KV and version != _KV_VERSION:
        return "KV version 1 is mounted there: name another mount in the settings"
    return ""


def transit_steps(config: model.Config) -> Iterator[WriteStep]:
    """Yield a step for each key of transit, of the type that its use needs."""
    for at, issuer in enumerate(config.tokens.issuers):
        if isinstance(issuer.keys, model.VaultTransitKeys):
            setting = f"tokens.issuers[{at}].keys"
            yield _key(issuer.keys.mount, issuer.keys.name, _ES256, setting)
    if (signed := config.audit.checkpoints) is not None:
        yield _key(signed.mount, signed.key, _ED25519, "audit.checkpoints")
    spool = config.audit.spool
    if spool is not None and isinstance(spool.key, model.TransitSpoolKey):
        yield _key(spool.key.mount, spool.key.name, _AES, "audit.spool.key")


def _key(mount: str, name: str, kind: str, setting: str) -> WriteStep:
    path = f"{mount}/keys/{name}"
    return WriteStep(
        name=f"key {name} of {mount}, {kind}",
        settings=(setting,),
        command=shell("bao", "write", path, *parameters({"type": kind})),
        looked_at=path,
        picked="",
        written=path,
        data=lambda: {"type": kind},
        judge=lambda held: "" if held.get("type") == kind else f"is of type {held.get('type')}",
    )


def namespace_names(config: model.Config) -> list[str]:
    """Return the namespaces from the outermost to that of the settings."""
    names = (config.vault.namespace or "").strip("/").split("/")
    return ["/".join(names[: at + 1]) for at, each in enumerate(names) if each]


def namespace_step(name: str) -> WriteStep:
    """Return the step of one namespace; it is asked for in the namespace around it."""
    outer, _, inner = name.rpartition("/")
    around = (f"-namespace={outer}",) if outer else ("-namespace=",)
    path = f"sys/namespaces/{inner}"
    return WriteStep(
        name=f"namespace {name}",
        settings=("vault.namespace",),
        command=shell("bao", "namespace", "create", *around, inner),
        looked_at=path,
        picked="",
        written=path,
        data=dict,
        judge=usable,
    )
