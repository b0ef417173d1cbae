"""How a release is made (``tools/release``): its rules, without building one."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.release import __main__ as command
from tools.release.build import check_build_tools, compare, digests
from tools.release.errors import ReleaseFault
from tools.release.locks import Pin, own_pins, read_lock, write_lock
from tools.release.provenance import statement
from tools.release.sbom import join
from tools.release.signing import check_key, sign, verify, write_sums
from tools.release.source import Source, problems_of, public_uri, read_source
from workload.source_version import NEXT

ROOT = Path(__file__).parents[2]
ONE, OTHER = "1" * 64, "2" * 64
COMMIT = "ab" * 20
SOURCE = Source("0.1.0", COMMIT, 1_700_000_000, "v0.1.0", "")


@pytest.mark.parametrize("name", ["runtime", "build", "kafka", "dev", "release"])
def test_our_locks_are_read_whole_and_written_as_they_were(name: str) -> None:
    text = (ROOT / f"requirements/{name}.lock").read_text()
    pins = read_lock(text)
    bare = "".join(line for line in text.splitlines(keepends=True) if "# via" not in line)
    bare = "".join(line for line in bare.splitlines(keepends=True) if line.strip()[:1] != "#")
    assert "".join(map(str, pins)) == bare


NOT_LOCKED = {
    "no hash": "a==1\n",
    "a hash that is missing": "a==1 \\\nb==1 \\\n    --hash=sha256:" + ONE,
    "a range": "a>=1 \\\n    --hash=sha256:" + ONE,
    "an option": "--index-url https://example.com\n",
    "a folder": "./workload\n",
    "another algorithm": "a==1 \\\n    --hash=md5:1234\n",
    "a short hash": "a==1 \\\n    --hash=sha256:1234\n",
}


@pytest.mark.parametrize("case", NOT_LOCKED)
def test_what_is_not_locked_is_refused(case: str) -> None:
    with pytest.raises(ValueError, match=r"no (pin|hash)"):
        read_lock(NOT_LOCKED[case])


def test_a_lock_has_our_wheels_by_their_hashes() -> None:
    wheels = {
        "septem_decision_cache-0.1.0-py3-none-manylinux_2_34_x86_64.whl": ONE,
        "septem_decision_cache-0.1.0-py3-none-manylinux_2_34_aarch64.whl": OTHER,
        "septem_sidecar-0.1.0.dev7+g1a2b-py3-none-any.whl": ONE,
    }
    pins = own_pins(wheels)
    assert pins == [
        Pin("septem-decision-cache", "0.1.0", "", (OTHER, ONE)),
        Pin("septem-sidecar", "0.1.0.dev7+g1a2b", "", (ONE,)),
    ]
    text = write_lock("x.lock", "Everything", pins)
    assert "\n--find-links .\n--only-binary :all:\nseptem-decision-cache==0.1.0 \\\n" in text
    assert "pip install --require-hashes -r x.lock" in text


REMOTES = {
    "https://example.com/septem/sidecar.git": "git+https://example.com/septem/sidecar.git",
    "https://user:secret@example.com:8443/s.git": "git+https://example.com:8443/s.git",
    "ssh://git@example.com/s.git": "git+ssh://example.com/s.git",
    "git@example.com:septem/sidecar.git": "git+ssh://example.com/septem/sidecar.git",
    "/srv/repositories/sidecar": "",
    "file:///srv/repositories/sidecar": "",
    "../sidecar": "",
    "host:/srv/sidecar": "",
    "https:///x": "",
}


@pytest.mark.parametrize("remote", REMOTES)
def test_a_remote_is_told_without_credentials_and_a_folder_is_not_told(remote: str) -> None:
    assert public_uri(remote) == REMOTES[remote]


def release_tree(folder: Path, changes: str, chart: str) -> Path:
    (folder / "deploy/kubernetes/chart").mkdir(parents=True)
    (folder / "CHANGELOG.md").write_text(changes)
    (folder / "deploy/kubernetes/chart/Chart.yaml").write_text(chart)
    return folder


PROBLEMS = {
    "ready": ("## 0.1.0 - 2026-12-01\n", 'appVersion: "0.1.0"\n', "0.1.0", []),
    "no heading": ("## Unreleased\n", "appVersion: 0.1.0\n", "0.1.0", ["CHANGELOG.md"]),
    "no date": ("## 0.1.0\n", "appVersion: 0.1.0\n", "0.1.0", ["CHANGELOG.md"]),
    "another chart": ("## 0.1.0 - 2026-12-01\n", "appVersion: 0.1.00\n", "0.1.0", ["Chart.yaml"]),
    "another tag": ("## 0.1.0 - 2026-12-01\n", "appVersion: 0.1.0\n", "0.2.0", ["NEXT is 0.2.0"]),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_speaks_against_a_tagged_commit(case: str, tmp_path: Path) -> None:
    changes, chart, upcoming, expected = PROBLEMS[case]
    tree = release_tree(tmp_path, changes, chart)
    found = problems_of(SOURCE, tree, upcoming)
    assert len(found) == len(expected)
    assert all(word in said for word, said in zip(expected, found, strict=True))
    assert problems_of(SOURCE._replace(tag=""), tree, upcoming) == []


def test_one_release_is_worked_on_everywhere() -> None:
    chart = (ROOT / "deploy/kubernetes/chart/Chart.yaml").read_text()
    assert f'appVersion: "{NEXT}"' in chart
    assert (
        f'"septem-workload=={NEXT.partition("rc")[0]}.*"' in (ROOT / "pyproject.toml").read_text()
    )


def test_no_release_is_made_of_what_is_no_commit(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFault, match="no checkout of git"):
        read_source(tmp_path, {})
    with pytest.raises(ReleaseFault, match="no checkout of git"):
        read_source(tmp_path, {"SEPTEM_BUILD": f"0.1.0 {COMMIT}"})


def test_no_release_is_made_of_a_modified_tree(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    git = ["git", "-c", "user.name=n", "-c", "user.email=n@example.com", "-C", str(tmp_path)]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], env=clean, check=True, timeout=60)
    source = read_source(tmp_path)
    assert source.version.startswith(f"{NEXT}.dev1+g")
    assert (source.tag, source.uri) == ("", "")
    (tmp_path / "untracked").touch()
    with pytest.raises(ReleaseFault, match="not committed"):
        read_source(tmp_path)


def test_two_builds_must_be_the_same_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
        (folder / "a").write_bytes(b"1")
    compare(*folders)
    (folders[1] / "a").write_bytes(b"2")
    (folders[0] / "b").touch()
    with pytest.raises(ReleaseFault, match="two builds differ: a, b"):
        compare(*folders)


def test_what_builds_is_what_is_locked() -> None:
    lock = (ROOT / "requirements/build.lock").read_text()
    check_build_tools(lock)
    with pytest.raises(ReleaseFault, match=r"pluggy .* is installed, and 0\.0\.1 locked"):
        check_build_tools(re.sub(r"^pluggy==\S+", "pluggy==0.0.1", lock, flags=re.MULTILINE))


def test_the_statement_names_artefacts_commit_and_builder() -> None:
    found = statement(
        {"a.whl": ONE}, SOURCE._replace(uri="git+https://example.com/s"), ROOT, "urn:b"
    )
    assert found["_type"] == "https://in-toto.io/Statement/v1"
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"
    assert found["subject"] == [{"name": "a.whl", "digest": {"sha256": ONE}}]
    definition = found["predicate"]["buildDefinition"]
    source, *others = definition["resolvedDependencies"]
    assert source == {
        "name": "source", "uri": "git+https://example.com/s@v0.1.0", "digest": {"gitCommit": COMMIT}
    }  # fmt: skip
    lock = hashlib.sha256((ROOT / "requirements/runtime.lock").read_bytes()).hexdigest()
    assert {"name": "requirements/runtime.lock", "digest": {"sha256": lock}} in others
    assert any(each.get("uri", "").startswith("pkg:pypi/hatchling@") for each in others)
    assert all({"uri", "digest"} & each.keys() for each in others)
    assert definition["externalParameters"]["ref"] == "v0.1.0"
    assert "gcc" in definition["internalParameters"]["compilers"]
    assert found["predicate"]["runDetails"]["builder"] == {"id": "urn:b"}
    assert (
        "uri"
        not in statement({}, SOURCE, ROOT, "urn:b")["predicate"]["buildDefinition"][
            "resolvedDependencies"
        ][0]
    )


def component(name: str, *licences: str, url: str = "https://pypi.org/simple/x/") -> dict[str, Any]:
    return {
        "name": name,
        "version": "1",
        "licenses": [{"license": {"id": each}} for each in licences],
        "externalReferences": [{"type": "distribution", "url": url}],
    }


def locked(name: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": ONE}]
    found = {"type": "distribution", "url": "https://pypi.org/simple/x/", "hashes": hashes}
    return {"name": name, "version": "1", "externalReferences": [found]}


def test_the_sbom_has_licences_and_hashes_and_the_sidecar_as_its_subject() -> None:
    installed = {
        "metadata": {"timestamp": "t"},
        "components": [
            component("Septem_Sidecar", "Apache-2.0", url="file:///somewhere"),
            component("protobuf"),
        ],
    }
    found = join(installed, {"components": [locked("septem-sidecar"), locked("protobuf")]})
    subject = found["metadata"]["component"]
    assert (subject["name"], subject["type"]) == ("Septem_Sidecar", "application")
    assert [each["url"] for each in subject["externalReferences"]] == ["./"]
    (other,) = found["components"]
    assert other["licenses"][0]["license"]["id"] == "BSD-3-Clause"
    assert other["externalReferences"][-1]["hashes"][0]["content"] == ONE
    assert found["metadata"]["timestamp"] == "t"


INCOMPLETE = {
    "more is installed": ([component("a", "MIT")], [], "not what the lock says: a 1"),
    "less is installed": ([], [locked("a")], "not what the lock says: a 1"),
    "no licence": ([component("a")], [locked("a")], "a names no licence"),
}


@pytest.mark.parametrize("case", INCOMPLETE)
def test_an_sbom_that_is_not_whole_is_refused(case: str) -> None:
    installed, pinned, said = INCOMPLETE[case]
    ours = component("septem-sidecar", "Apache-2.0"), locked("septem-sidecar")
    with pytest.raises(ReleaseFault, match=said):
        join(
            {"metadata": {}, "components": [*installed, ours[0]]},
            {"components": [*pinned, ours[1]]},
        )


needs_minisign = pytest.mark.skipif(
    shutil.which("minisign") is None, reason="there is no minisign here (tools/get-deploy-tools)"
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a secret key without a password, and its public half."""
    folder = tmp_path_factory.mktemp("keys")
    secret, public = folder / "release.key", folder / "release.pub"
    command = ["minisign", "-G", "-W", "-s", str(secret), "-p", str(public)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    secret.chmod(0o600)
    return secret, public


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "release"
    made.mkdir()
    (made / "a b").write_text("1\n")
    (made / "c").write_text("2\n")
    write_sums(made)
    return made


def test_sha256sum_reads_the_checksums(folder: Path) -> None:
    command = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a b: OK\nc: OK\n")
    assert digests(folder).keys() == {"SHA256SUMS", "a b", "c"}


@needs_minisign
def test_the_signature_is_of_the_checksums_by_the_key(
    folder: Path, keys: tuple[Path, Path]
) -> None:
    secret, public = keys
    signature = sign(folder, secret, public, f"septem-sidecar 0.1.0 commit {COMMIT}")
    assert f"trusted comment: septem-sidecar 0.1.0 commit {COMMIT}\n" in signature.read_text()
    verify(folder / "SHA256SUMS", signature, public)
    before = (folder / "SHA256SUMS").read_text()
    assert write_sums(folder).read_text() == before, "the signature is not among what is signed"
    for altered in (folder / "SHA256SUMS", signature):
        text = altered.read_text()
        altered.write_text(text.replace("1", "2") + "x")
        with pytest.raises(ReleaseFault, match="is not by"):
            verify(folder / "SHA256SUMS", signature, public)
        altered.write_text(text)


@needs_minisign
def test_a_signature_by_another_key_is_not_kept(
    folder: Path, keys: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.pub"
    command = ["minisign", "-G", "-W", "-s", str(tmp_path / "other.key"), "-p", str(other)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with pytest.raises(ReleaseFault, match="is not by"):
        sign(folder, keys[0], other, "x")
    assert not (folder / "SHA256SUMS.minisig").exists()
    assert [path.name for path in folder.parent.iterdir() if path.is_dir()] == ["release"]


@needs_minisign
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_read_signs_nothing(tmp_path: Path, mode: int) -> None:
    key = tmp_path / "key"
    key.touch()
    key.chmod(mode)
    with pytest.raises(ReleaseFault, match="can be read by others"):
        check_key(key)


@needs_minisign
def test_what_is_no_key_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReleaseFault, match="No such file"):
        check_key(tmp_path / "none")
    with pytest.raises(ReleaseFault, match="is no file"):
        check_key(tmp_path)


def test_a_key_without_its_public_half_and_a_release_that_is_there_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "read_source", lambda _root: SOURCE)
    into = ["--into", str(tmp_path)]
    assert command.main([*into, "--sign-with", str(tmp_path / "key")]) == 1
    assert "--sign-with needs --public-key" in capsys.readouterr().err
    given = ["--sign-with", str(tmp_path / "key"), "--public-key", str(tmp_path / "none")]
    assert command.main([*into, *given]) == 1
    assert "--sign-with needs --public-key" in capsys.readouterr().err
    for builder in ("me", "https:", "urn:a b", ""):
        assert command.main([*into, "--builder", builder]) == 1
        assert "a URI says who builds" in capsys.readouterr().err
    (tmp_path / "septem-sidecar-0.1.0").mkdir()
    assert command.main(into) == 1
    assert "septem-sidecar-0.1.0 exists: remove it" in capsys.readouterr().err
