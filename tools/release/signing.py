"""``SHA256SUMS`` over a release, and its signature by minisign.

The key is a file that its owner alone may read; minisign asks for its password on the terminal.
Nothing secret is in an argument or in the environment.
"""

import os
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

from tools.release.build import digest
from tools.release.errors import ReleaseFault

SUMS = "SHA256SUMS"
SIGNATURE = f"{SUMS}.minisig"
_SIGN_SECONDS = 300


def write_sums(folder: Path) -> Path:
    """Write the checksums of every file in the folder, as ``sha256sum -c`` reads them."""
    names = sorted(path.name for path in folder.iterdir() if path.name not in {SUMS, SIGNATURE})
    sums = folder / SUMS
    sums.write_text("".join(f"{digest(folder / name)}  {name}\n" for name in names))
    return sums


def check_key(key: Path) -> None:
    """Raise ``ReleaseFault`` unless the key can be signed with, and is its owner's alone."""
    if shutil.which("minisign") is None:
        raise ReleaseFault("minisign is missing: apt-get install minisign")
    try:
        held = key.stat()
    except OSError as exc:
        raise ReleaseFault(f"{key}: {exc.strerror}") from None
    if not stat.S_ISREG(held.st_mode):
        raise ReleaseFault(f"{key} is no file")
    if held.st_mode & 0o077 or held.st_uid != os.geteuid():
        raise ReleaseFault(f"{key} can be read by others: chmod 600, and let it be yours")


def sign(folder: Path, key: Path, public_key: Path, comment: str) -> Path:
    """Sign the checksums, and verify what was written by the public key.

    ``comment`` is signed too. Raises ``ReleaseFault``; there is no signature then.
    """
    check_key(key)
    signature = folder / SIGNATURE
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="septem-sign-") as name:
        made = Path(name) / SIGNATURE
        command = ["minisign", "-S", "-s", str(key), "-m", str(folder / SUMS), "-x", str(made)]
        # The password is asked for on the terminal, which the child has from us.
        try:
            done = subprocess.run([*command, "-t", comment], timeout=_SIGN_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise ReleaseFault("nobody gave minisign the key's password in time") from None
        if done.returncode or not made.exists():
            raise ReleaseFault(f"minisign did not sign with {key}")
        verify(folder / SUMS, made, public_key)
        made.replace(signature)
    return signature


def verify(sums: Path, signature: Path, public_key: Path) -> None:
    """Raise ``ReleaseFault`` unless the signature is of these checksums by this key."""
    command = ["minisign", "-V", "-q", "-p", str(public_key), "-m", str(sums), "-x", str(signature)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise ReleaseFault(f"{signature.name} is not by {public_key}: {done.stderr.strip()}")
