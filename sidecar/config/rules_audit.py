"""The rules of the audit trail: what needs what."""

import os.path
from collections.abc import Iterator

from sidecar.config.model import Config, FileAudit
from sidecar.config.problem import Problem


def check_audit(config: Config) -> Iterator[Problem]:
    """Yield the problems of ``audit``."""
    audit = config.audit
    checkpoints = audit.checkpoints
    if checkpoints is None:
        return
    if not audit.chain:
        yield Problem(
            ("audit", "checkpoints"), "sign the head of the chain: audit.chain must be true"
        )
    if checkpoints.file is not None and isinstance(audit.to, FileAudit):
        kept, written = (os.path.normpath(each) for each in (checkpoints.file, audit.to.path))
        if kept == written:
            yield Problem(("audit", "checkpoints", "file"), "must not be audit.to.path")
