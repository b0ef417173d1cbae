"""What a real Envoy says of certificates: it loads a configuration that holds them, and ends.

Envoy takes a key from a file, an environment variable or its configuration. So the configuration
is a file of mode 0600 in a folder of its own (``TMPDIR``, a tmpfs by preference), removed when
Envoy has ended; nothing of it is in an argument. Certificates are tried many at a time; where
Envoy refuses a file, it is halved until the ones are found that it means.
"""

import asyncio
import contextlib
import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sidecar.common.errors import Fault
from sidecar.common.printable import printable
from workload.x509.material import Material

SECONDS = 60.0
MAX_AT_ONCE = 100
_MAX_WORDS = 400
_MAX_OUTPUT = 65_536
_PEM = re.compile(r"-----BEGIN [^-]*-----.*?(?:-----END [^-]*-----|\Z)", re.DOTALL)
_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_ECHO = "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"


class EnvoyFault(Fault):
    """Envoy can't be asked."""


class EnvoyJudge:
    """Asks the Envoy at ``program``."""

    def __init__(self, program: str) -> None:
        self.program = program

    async def judge(self, materials: Sequence[Material]) -> list[str]:
        """Return Envoy's words on each: empty where it takes it. Raises ``EnvoyFault``."""
        words: list[str] = []
        for start in range(0, len(materials), MAX_AT_ONCE):
            words += await self._halve(materials[start : start + MAX_AT_ONCE])
        return words

    async def _halve(self, materials: Sequence[Material]) -> list[str]:
        said = await self._load(materials)
        if not said:
            return [""] * len(materials)
        if len(materials) == 1:
            return [said]
        middle = len(materials) // 2
        return [*await self._halve(materials[:middle]), *await self._halve(materials[middle:])]

    async def _load(self, materials: Sequence[Material]) -> str:
        with tempfile.TemporaryDirectory(prefix="septem-drill-") as folder:  # 0700
            path = Path(folder) / "envoy.json"
            _write(path, json.dumps(configuration(materials)))
            return await self._run(path)

    async def _run(self, path: Path) -> str:
        """Return what Envoy says; empty if it takes the file. Raises ``EnvoyFault``."""
        try:
            process = await asyncio.create_subprocess_exec(
                self.program,
                *("--mode", "validate", "--use-dynamic-base-id"),
                *("--log-level", "error", "--config-path", str(path)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
        except OSError as exc:
            raise EnvoyFault(f"{self.program} can't be run: {exc.strerror}") from exc
        try:
            async with asyncio.timeout(SECONDS):
                output, _ = await process.communicate()
        except TimeoutError:
            raise EnvoyFault(f"{self.program} did not end within {SECONDS:.0f} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return "" if process.returncode == 0 else words_of(output[-_MAX_OUTPUT:])


def _write(path: Path, text: str) -> None:
    """Write a file that only this user can read, from its first moment on."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text, encoding="ascii")


def configuration(materials: Sequence[Material]) -> dict[str, Any]:
    """Return a configuration of Envoy's with these certificates, a filter chain for each."""
    chains = [
        {
            "filter_chain_match": {"server_names": [f"certificate-{number}.invalid"]},
            "transport_socket": {
                "name": "envoy.transport_sockets.tls",
                "typed_config": {"@type": _TLS, "common_tls_context": _context(material)},
            },
            "filters": [{"name": "envoy.filters.network.echo", "typed_config": {"@type": _ECHO}}],
        }
        for number, material in enumerate(materials)
    ]
    address = {"socket_address": {"address": "127.0.0.1", "port_value": 1}}  # not opened
    sni = {
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3."
            "TlsInspector"
        },
    }
    listener = {
        "name": "drill", "address": address, "listener_filters": [sni], "filter_chains": chains,
    }  # fmt: skip
    return {"static_resources": {"listeners": [listener]}}


def _context(material: Material) -> dict[str, Any]:
    return {
        "tls_certificates": [
            {
                "certificate_chain": {"inline_string": material.chain_pem.decode("ascii")},
                "private_key": {"inline_string": material.key_pem.decode("ascii")},
            }
        ]
    }


def words_of(output: bytes) -> str:
    """Return what Envoy says as one bounded line, without any PEM."""
    text = _PEM.sub("(PEM)", output.decode("utf-8", "replace"))
    if "PRIVATE KEY" in text:
        return "it rejects the file, with words that hold a key"
    lines = [line for line in text.splitlines() if line.strip()]
    said = next((line for line in reversed(lines) if "error initializing" in line), "")
    said = said or (lines[-1] if lines else "it ended without a word")
    said = said.rpartition("': ")[2] or said
    return printable(said)[:_MAX_WORDS]
