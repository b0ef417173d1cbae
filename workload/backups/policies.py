"""The policies of Vault for who seals, opens and rewraps archives, each the least. Pure."""

from workload.backups.header import ArchiveLabel

_CALLS = {
    "seal": ("datakey/plaintext",),
    "open": ("decrypt",),
    "rewrap": ("rewrap",),
}
JOBS = tuple(_CALLS)


def policy_of_job(job: str, label: ArchiveLabel) -> str:
    """Return HCL that lets a token do one job with the label's transit key, and nothing else."""
    lines = [f"# septem backup {job}, with {label.place}."]
    lines += [
        f'path "{label.mount}/{call}/{label.key}" {{ capabilities = ["update"] }}'
        for call in _CALLS[job]
    ]
    return "\n".join(lines) + "\n"
