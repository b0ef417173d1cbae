"""Applications of other people's making, each started once: what they are told, they tell.

Every one of them answers any request with JSON: ``method``, ``path`` (as its router reads
it), ``host``, ``client``, ``seen`` (every header or variable by the name it has there),
``cookies`` where the server reads them, ``handler`` where it has a router of its own.
``tools/get-applications`` installs them; what is missing is skipped, or fails where CI is set.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any, NamedTuple, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest

from demo.process import ManagedProcess, free_ports, listens

HERE = Path(__file__).parent
PROGRAMS = HERE / "programs"
INSTALLED = HERE.parents[1] / ".venv" / "applications"
JARS = Path("/usr/share/java")
"""Where Debian keeps them."""
READY_SECONDS = 60.0


class Application(NamedTuple):
    """A server that runs. ``http2`` says that it is to be spoken to in HTTP/2."""

    name: str
    port: int
    http2: bool = False


class NotInstalledError(Exception):
    """A server is not installed here; the message says how to get it."""


class Applications:
    """The servers, each started when it is first asked for. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exits = ExitStack()
        self._running: dict[str, Application] = {}
        self._missing: dict[str, NotInstalledError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def get(self, name: str) -> Application:
        """Return a running server; skips the test where it is not installed."""
        found = self.find(name)
        if found is not None:
            return found
        why = f"{name}: {self._missing[name]}"
        if os.environ.get("CI") == "true":
            pytest.fail(why)
        pytest.skip(why)

    def find(self, name: str) -> Application | None:
        """Return a running server, or ``None`` where it is not installed."""
        if name not in self._running and name not in self._missing:
            folder = self._folder / name
            folder.mkdir()
            try:
                self._running[name] = self._start(name, folder)
            except NotInstalledError as missing:
                self._missing[name] = missing
        return self._running.get(name)

    def _start(self, name: str, folder: Path) -> Application:
        if name == "wsgiref":
            return Application(name, self._serve_wsgi())
        (port,) = free_ports(1)
        command, environment = STARTS[name](port, folder)
        process = ManagedProcess(name, command, {**os.environ, **environment})
        self._exits.callback(process.stop)
        process.wait_until(lambda: listens(port), READY_SECONDS)
        return Application(name, port, name == "node-http2")

    def _serve_wsgi(self) -> int:
        server = make_server("127.0.0.1", 0, tell_wsgi, WSGIServer, _QuietHandler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        self._exits.callback(thread.join)
        self._exits.callback(server.server_close)
        self._exits.callback(server.shutdown)
        return int(server.server_address[1])


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""


def tell_wsgi(environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Answer with what WSGI tells (PEP 3333)."""
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    path = environ["PATH_INFO"]
    told = {
        "handler": "admin" if path.startswith("/assets2/@admin") else "other",
        "method": environ["REQUEST_METHOD"],
        "path": path,
        "host": environ.get("HTTP_HOST", ""),
        "client": environ["REMOTE_ADDR"],
        "seen": {name: value for name, value in environ.items() if isinstance(value, str)},
        "cookies": {name: morsel.value for name, morsel in cookies.items()},
    }
    start_response("200 OK", [("content-type", "application/json")])
    return [json.dumps(told).encode()]


Start = tuple[list[str], dict[str, str]]


def program(name: str, package: str) -> str:
    """Find a program of Debian's; ``NotInstalledError`` says which package has it."""
    found = shutil.which(name)
    if found is None:
        raise NotInstalledError(
            f"{name} is not installed here: tools/get-applications, or Debian's {package}"
        )
    return found


def installed(path: str) -> str:
    """Find what ``tools/get-applications`` put into the environment."""
    found = INSTALLED / path
    if not found.exists():
        raise NotInstalledError("not installed here: tools/get-applications")
    return str(found)


def written(source: str, folder: Path, port: int) -> Path:
    """Write a configuration with its port and its folder put in place."""
    text = (PROGRAMS / source).read_text().replace("@PORT@", str(port))
    path = folder / source
    path.write_text(text.replace("@FOLDER@", str(folder)))
    return path


def php(port: int, _: Path) -> Start:
    """Run PHP's own server."""
    return [program("php", "php-cli"), "-S", f"127.0.0.1:{port}", str(PROGRAMS / "echo.php")], {}


def lighttpd(port: int, folder: Path) -> Start:
    """Run lighttpd before a CGI program."""
    script = folder / "echo.cgi"
    script.write_text(f"#!{sys.executable} -ES\n" + (PROGRAMS / "echo_cgi.py").read_text())
    script.chmod(script.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    found = program("lighttpd", "lighttpd")
    return [found, "-D", "-f", str(written("lighttpd.conf", folder, port))], {}


def nginx(port: int, folder: Path) -> Start:
    """Run nginx, which answers itself."""
    found = program("nginx", "nginx-light")
    return [found, "-p", str(folder), "-c", str(written("nginx.conf", folder, port))], {}


def uvicorn(port: int, _: Path) -> Start:
    """Run uvicorn before an ASGI application."""
    command = [sys.executable, "-m", "uvicorn", "--app-dir", str(PROGRAMS), "--port", str(port)]
    python = {"PYTHONPATH": installed("python")}
    return [
        *command,
        "--log-level",
        "warning",
        "--ws",
        "websockets-sansio",
        "echo_asgi:application",
    ], python


def node(kind: str) -> Callable[[int, Path], Start]:
    """Run one of Node's own servers."""

    def start(port: int, _: Path) -> Start:
        return [installed("node"), str(PROGRAMS / "echo_node.mjs"), kind, str(port)], {}

    return start


def express(port: int, _: Path) -> Start:
    """Run Express with what is usually used with it."""
    modules = {"NODE_PATH": installed("npm/node_modules")}
    return [installed("node"), str(PROGRAMS / "echo_express.cjs"), str(port)], modules


def puma(port: int, folder: Path) -> Start:
    """Run puma before a Rack application."""
    command = [program("puma", "puma"), "-b", f"tcp://127.0.0.1:{port}", "-t", "1:2", "-q"]
    return [*command, "--dir", str(folder), str(PROGRAMS / "echo.ru")], {}


def go(port: int, folder: Path) -> Start:
    """Compile Go's net/http, where there is a Go, and run it."""
    made = str(folder / "echo")
    command = [program("go", "golang-go"), "build", "-o", made, str(PROGRAMS / "echo.go")]
    environment = {**os.environ, "GO111MODULE": "off", "GOFLAGS": ""}
    subprocess.run(command, env=environment, timeout=READY_SECONDS * 2, check=True)
    return [made, f"127.0.0.1:{port}"], {}


def tomcat(port: int, folder: Path) -> Start:
    """Run Tomcat before a servlet, which Java compiles as it starts."""
    jars = sorted(JARS.glob("tomcat10-*.jar"))
    if not jars:
        raise NotInstalledError("no Tomcat here: tools/get-applications, or libtomcat10-java")
    command = [program("java", "default-jre-headless"), "-cp", ":".join(map(str, jars))]
    return [*command, "-Xmx64m", str(PROGRAMS / "Echo.java"), str(port), str(folder)], {}


STARTS: dict[str, Callable[[int, Path], Start]] = {
    "php": php,
    "lighttpd": lighttpd,
    "nginx": nginx,
    "uvicorn": uvicorn,
    "node": node("http"),
    "node-http2": node("http2"),
    "express": express,
    "puma": puma,
    "go": go,
    "tomcat": tomcat,
}
NAMES = ("wsgiref", *STARTS)
