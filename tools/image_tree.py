"""Makes the image's root file system: Debian's packages and the sidecar, each by its hash.

    python tools/image_tree.py FOLDER

`make image` and the Dockerfile both run this, so that both have the same tree. It needs apt-get
and dpkg-deb (Debian's or another's, of x86-64), pip, and no root. Packages are unpacked and not
installed: no maintainer script runs, and what is not needed to run the sidecar is left out: no
shell, no package manager, no pip.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "deploy/image/debian.lock"
EPOCH = 1_767_225_600
"""1 January 2026: the date in wheels that are built here."""
USER = 65_532
SITE = "usr/local/lib/python3.11/dist-packages"
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
_RUNTIME = ROOT / "requirements/runtime.lock"
_PLATFORMS = ("manylinux_2_28_x86_64", "manylinux2014_x86_64", "manylinux_2_17_x86_64")
"""Wheels for the image's C library (2.36), whatever machine this is."""
_LEFT_OUT = (
    "etc/apt", "etc/cron*", "etc/logrotate.d", "etc/profile*", "etc/motd", "etc/skel", "etc/issue*",
    "etc/update-motd.d", "etc/ca-certificates*", "etc/dpkg", "etc/default", "etc/ethertypes",
    "bin/*", "sbin/*", "usr/sbin/*", "usr/share/man", "usr/share/info", "usr/share/locale",
    "usr/share/lintian", "usr/share/bug", "usr/share/base-files", "usr/share/pixmaps",
    "usr/share/applications", "usr/share/binfmts", "usr/share/dict", "usr/share/gdb",
    "usr/share/python3", "usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/audit",
    "usr/lib/mime", "usr/lib/valgrind", "var/backups", "var/mail", "usr/games", "usr/src",
    "usr/lib/python3.11/lib2to3", "usr/lib/python3.11/pydoc_data", "usr/lib/python3.11/turtle*",
    "usr/lib/python3.11/idlelib", "usr/lib/python3.11/test", "usr/lib/python3.11/unittest",
    "usr/lib/python3.11/distutils", "usr/lib/python3.11/lib-dynload/_curses*",
    "usr/lib/python3.11/lib-dynload/readline*", "usr/lib/python3.11/lib-dynload/_sqlite3*",
    "usr/lib/python3.11/lib-dynload/nis*", "usr/lib/python3.11/lib-dynload/_dbm*",
    "usr/lib/python3.11/lib-dynload/_ctypes_test*", "usr/lib/python3.11/lib-dynload/_test*",
    "usr/lib/python3.11/lib-dynload/_xx*", "usr/lib/python3.11/lib-dynload/xx*",
)  # fmt: skip
"""Paths, and what is below them. Of the documentation the copyright stays, which licences ask."""
_FILES: Mapping[str, str] = {
    "etc/passwd": (
        "root:x:0:0:root:/:/usr/sbin/nologin\n"
        f"septem:x:{USER}:{USER}:Septem Sidecar:/:/usr/sbin/nologin\n"
    ),
    "etc/group": f"root:x:0:\nseptem:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "usr/local/bin/sidecar": (
        "#!/usr/bin/python3.11 -I\nimport sys\n\nfrom sidecar.cli.main import main\n\n"
        "sys.exit(main())\n"
    ),
}
_FOLDERS = ("etc/septem", "run/septem", "run/vault", "proc", "sys", "dev", "tmp")


class Locked(NamedTuple):
    """One of Debian's packages in its exact version."""

    name: str
    version: str
    sha256: str


def read_lock(text: str) -> list[Locked]:
    """Return the packages of the lock: a line each, ``name version sha256``."""
    lines = (line.split() for line in text.splitlines())
    return [Locked(*fields) for fields in lines if fields and not fields[0].startswith("#")]


def is_left_out(path: str) -> bool:
    """Tell whether a file of a package is not for the image."""
    pure = PurePosixPath(path)
    if pure.is_relative_to("usr/share/doc"):
        return len(pure.parts) > 3 and pure.name != "copyright"  # noqa: PLR2004 - usr share doc
    return any(each.match(f"/{rule}") for rule in _LEFT_OUT for each in _with_parents(pure))


def _with_parents(path: PurePosixPath) -> Iterator[PurePosixPath]:
    rooted = PurePosixPath("/") / path
    yield rooted
    yield from rooted.parents


def fetch_debs(lock: list[Locked], folder: Path) -> list[Path]:
    """Download the packages and compare each with its hash; return them in the lock's order."""
    wanted = [f"{each.name}={each.version}" for each in lock]
    command = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "-o", "Acquire::Retries=2",
               "download", *wanted]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(
            f"Debian's packages can't be had in these versions: {done.stderr.strip()}\n"
            "apt-get update; where Debian has newer ones: make image-lock"
        )
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in folder.glob("*.deb")}
    for each in lock:
        if each.sha256 not in found:
            raise SystemExit(f"{each.name} {each.version} is another file than the lock's")
    return [found[each.sha256] for each in lock]


def unpack_deb(deb: Path, tree: Path) -> None:
    """Unpack what is for the image, and note the package for scanners, as distroless does."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            for member in archive:
                member.name = member.name.removeprefix("./")
                if member.name not in {"", "."} and not is_left_out(member.name):
                    archive.extract(member, tree, filter="tar")
        if process.wait():
            raise SystemExit(f"{deb.name} can't be unpacked")
    control = subprocess.run(["dpkg-deb", "--field", deb], capture_output=True, check=True).stdout
    name = deb.name.partition("_")[0]
    status = tree / "var/lib/dpkg/status.d" / name
    status.parent.mkdir(parents=True, exist_ok=True)
    status.write_bytes(control)


def trust_store(tree: Path) -> None:
    """Write the bundle of CA certificates, which Debian makes when it installs."""
    source = tree / "usr/share/ca-certificates/mozilla"
    bundle = tree / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True, exist_ok=True)
    bundle.write_text("".join(path.read_text() for path in sorted(source.glob("*.crt"))))


def without_markers(lock: str) -> str:
    """Return the lock without the conditions of its packages.

    pip holds them against the Python that it runs in, not against the image's: a package for
    3.11.2 was left out. What the image would not need does no harm in it.
    """
    return re.sub(r"^(\S+==[^ ;]+) ; .*(?= \\$)", r"\1", lock, flags=re.MULTILINE)


def fetch_wheels(folder: Path) -> list[Path]:
    """Download the locked packages by their hashes, and build ours with locked tools."""
    theirs, ours, tools = folder / "theirs", folder / "ours", folder / "tools"
    checked = ["--require-hashes", "--only-binary", ":all:", "-r"]
    runtime = folder / "runtime.lock"
    runtime.write_text(without_markers(_RUNTIME.read_text(encoding="utf-8")), encoding="utf-8")
    for_image = ["--no-deps", "--python-version", "3.11.2"]
    for_image += [word for each in _PLATFORMS for word in ("--platform", each)]
    _pip(sys.executable, "download", *for_image, "-d", theirs, *checked, runtime)
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    program = tools / "bin/python"
    _pip(program, "install", *checked, ROOT / "requirements/build.lock")
    _pip(program, "wheel", "--no-deps", "--no-build-isolation", "-w", ours, ROOT / "workload", ROOT)
    return sorted([*theirs.glob("*.whl"), *ours.glob("*.whl")], key=lambda path: path.name)


def _pip(program: str | Path, *arguments: str | Path) -> None:
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "SOURCE_DATE_EPOCH": str(EPOCH)}
    command = [program, "-m", "pip", "-q", *arguments]
    subprocess.run(command, env={**os.environ, **quiet}, check=True)


def unpack_wheel(wheel: Path, site: Path) -> None:
    """Unpack a wheel as it is; programs of other packages are not for the image."""
    with zipfile.ZipFile(wheel) as archive:
        for name in sorted(archive.namelist()):
            path = PurePosixPath(name)
            if path.parts[0].endswith(".data"):
                if path.parts[1] not in {"purelib", "platlib"}:
                    continue
                path = PurePosixPath(*path.parts[2:])
            if name.endswith("/"):
                continue
            target = site / path
            if not target.resolve().is_relative_to(site.resolve()):
                raise SystemExit(f"{wheel.name} has a file elsewhere: {name}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def compile_all(tree: Path) -> None:
    """Compile every module with the image's own interpreter: the root is read-only later."""
    loader = next((tree / "lib64").glob("ld-linux*"))
    libraries = ":".join(str(tree / each) for each in _LIBRARIES)
    command = [str(loader), "--library-path", libraries, str(tree / "usr/bin/python3.11")]
    command += ["-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(tree), "-p", "/", str(tree / "usr/lib/python3.11"), str(tree / SITE)]
    environment = {
        "PYTHONHASHSEED": "0",  # the order of a frozenset is written too
        "PYTHONDONTWRITEBYTECODE": "1",  # what this process itself imports would have dates
        "PYTHONHOME": str(tree / "usr"),
        "LC_ALL": "C.UTF-8",
    }
    subprocess.run(command, env=environment, check=True)


def make(tree: Path) -> None:
    """Make the tree in a folder that must be empty or new."""
    tree.mkdir(parents=True, exist_ok=True)
    if any(tree.iterdir()):
        raise SystemExit(f"{tree} is not empty")
    os.umask(0o022)
    with tempfile.TemporaryDirectory() as folder:
        for deb in fetch_debs(read_lock(LOCK.read_text()), Path(folder)):
            unpack_deb(deb, tree)
        trust_store(tree)
        for wheel in fetch_wheels(Path(folder)):
            unpack_wheel(wheel, tree / SITE)
    for name, text in _FILES.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tree / "usr/local/bin/sidecar").chmod(0o755)
    for name in _FOLDERS:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "tmp").chmod(0o1777)
    shutil.copy(ROOT / "LICENSE", tree / "usr/share/doc/LICENSE")
    compile_all(tree)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
