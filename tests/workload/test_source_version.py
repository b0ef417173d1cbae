"""The version by PEP 440 and the commit: of git, of the environment, of neither."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from workload.source_version import NEXT, GitState, Source, ask_git, source_of, version_of

COMMIT = "1a2b3c4d5e6f" * 3 + "1a2b"
LOCAL = "g1a2b3c4d5e"
RULES = {
    "no tag": ([], [], 7, False, "0.3.0.dev7+" + LOCAL),
    "no tag, modified": ([], [], 7, True, f"0.3.0.dev7+{LOCAL}.dirty"),
    "an older tag": ([], ["v0.2.9"], 7, False, "0.3.0.dev7+" + LOCAL),
    "a release": (["v0.3.0"], ["v0.3.0", "v0.2.9"], 7, False, "0.3.0"),
    "a candidate": (["v0.3.0rc2"], ["v0.3.0rc2"], 7, False, "0.3.0rc2"),
    "the candidate that was released": (["v0.3.0rc2", "v0.3.0"], ["v0.3.0"], 7, False, "0.3.0"),
    "a release with changes": (["v0.3.0"], ["v0.3.0"], 7, True, f"0.3.0+{LOCAL}.dirty"),
    "an old release, built again": (["v0.2.9"], ["v0.2.9"], 5, False, "0.2.9"),
    "other tags": (["v0.4", "0.4.0", "vNext", "v0.4.0-rc1"], ["v1", "x"], 7, False, "0.3.0.dev7"),
    "not a number": (["v٣.0.0"], ["v0.4.0\n"], 7, False, "0.3.0.dev7"),
    "a shallow clone": ([], [], 0, False, "0.3.0.dev0+" + LOCAL),
}


@pytest.mark.parametrize("rule", RULES)
def test_the_version_of_a_commit(rule: str) -> None:
    here, tags, count, modified, expected = RULES[rule]
    found = version_of(GitState(COMMIT, here, tags, count, modified), "0.3.0")
    assert (
        found == expected
        if "+" in expected or "dev" not in expected
        else found.startswith(expected)
    )
    assert str(Version(found)) == found  # as PEP 440 writes it


@pytest.mark.parametrize("released", ["v0.3.0", "v0.3.1", "v1.0.0"])
def test_after_a_release_the_next_one_must_be_named(released: str) -> None:
    with pytest.raises(ValueError, match="is released: raise NEXT"):
        version_of(GitState(COMMIT, [], ["v0.2.0", released], 7, modified=False), "0.3.0")


def test_versions_sort_as_their_commits_do() -> None:
    steps = [([], 7), ([], 8), (["v0.3.0rc1"], 9), (["v0.3.0"], 10)]
    found = [
        Version(version_of(GitState(COMMIT, here, [], count, modified=False), "0.3.0"))
        for here, count in steps
    ]
    assert found == sorted(found)
    changed = GitState(COMMIT, ["v0.3.0"], [], 10, modified=True)
    assert found[-1] < Version(version_of(changed, "0.3.0")) < Version("0.3.1.dev11")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    tree.mkdir()
    git(tree, "init", "-q")
    (tree / "file").write_text("1\n")
    git(tree, "add", "file")
    git(tree, "commit", "-q", "-m", "first")
    return tree


def git(tree: Path, *arguments: str) -> str:
    nobody = ["-c", "user.name=n", "-c", "user.email=n@example.com", "-c", "tag.gpgSign=false"]
    nobody += ["-c", "commit.gpgSign=false", "-c", "core.hooksPath=/nowhere"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *nobody, "-C", str(tree), *arguments],
        env=clean,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_git_is_asked_for_a_checkout(repository: Path) -> None:
    commit = git(repository, "rev-parse", "HEAD")
    development = f"{NEXT}.dev1+g{commit[:10]}"
    # What a hook of another repository sets, and a build that it is none of, say nothing here.
    elsewhere = {**os.environ, "GIT_DIR": "/nowhere", "SEPTEM_BUILD": f"7.7.7 {'0' * 40}"}
    assert source_of(repository, elsewhere) == Source(development, commit, modified=False)
    (repository / "untracked").write_text("")  # a build would pack it
    assert source_of(repository, {}) == Source(f"{development}.dirty", commit, modified=True)
    (repository / "untracked").unlink()
    git(repository, "tag", "-a", "v9.0.0", "-m", "a release")
    assert source_of(repository, {}) == Source("9.0.0", commit, modified=False)
    (repository / "file").write_text("2\n")
    assert source_of(repository, {}).version == f"9.0.0+g{commit[:10]}.dirty"
    git(repository, "commit", "-q", "-a", "-m", "second")
    with pytest.raises(ValueError, match=r"v9\.0\.0 is released"):
        source_of(repository, {})


def test_a_clone_without_its_history_counts_nothing(repository: Path, tmp_path: Path) -> None:
    git(repository, "commit", "-q", "--allow-empty", "-m", "second")
    git(tmp_path, "clone", "-q", "--depth", "1", repository.as_uri(), "shallow")
    state = ask_git(tmp_path / "shallow", {})
    assert state is not None
    assert state.commits == 0


def test_a_folder_of_another_repository_is_no_checkout(repository: Path) -> None:
    """An unpacked copy inside a distributor's repository does not get that one's commit."""
    inside = repository / "packaged"
    inside.mkdir()
    (inside / "file").write_text("")
    git(repository, "add", "packaged")
    git(repository, "commit", "-q", "-m", "packaged")
    assert ask_git(inside, {}) is None
    assert source_of(inside, {}) == Source(f"{NEXT}.dev0", "", modified=False)


def test_a_repository_without_a_commit_and_a_machine_without_git_say_nothing(
    tmp_path: Path,
) -> None:
    git(tmp_path, "init", "-q")
    assert ask_git(tmp_path, {}) is None
    assert ask_git(tmp_path, {"PATH": str(tmp_path)}) is None


@pytest.mark.parametrize("modified", [False, True])
def test_a_copy_without_git_takes_what_it_is_given(tmp_path: Path, modified: bool) -> None:
    source = Source("0.3.0.dev7+g1a2b3c4d5e", COMMIT, modified)
    assert source_of(tmp_path, {"SEPTEM_BUILD": str(source)}) == source


NOT_BUILDS = [
    "0.1.0",
    f"0.1.0  {COMMIT}",
    f"0.1.0 {COMMIT}x",
    f"{COMMIT} 0.1.0",
    f"0.1.0\n {COMMIT}",
    f"../x {COMMIT}",
    f"0.1.0 {COMMIT} dirty",
    f"0.1.0 {COMMIT}\n",
]


@pytest.mark.parametrize("given", NOT_BUILDS)
def test_what_is_no_build_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(ValueError, match="SEPTEM_BUILD is no version and commit"):
        source_of(tmp_path, {"SEPTEM_BUILD": given})


def test_the_program_prints_what_the_environment_takes(tmp_path: Path) -> None:
    script = Path(__file__).parents[2] / "workload/source_version.py"
    copy = tmp_path / "tree/workload/source_version.py"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(script.read_bytes())
    given = f"0.3.0 {COMMIT} modified"
    done = subprocess.run(
        [sys.executable, "-I", str(copy)],
        env={**os.environ, "SEPTEM_BUILD": given},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == f"{given}\n"
