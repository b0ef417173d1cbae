"""Runs a pod of a cluster on this machine: what a kubelet does of it, by bubblewrap.

Volumes are made as a kubelet makes them (a ConfigMap by a link that is exchanged, a token of the
pod's service account by the API). Containers run as the user and with the groups, the mounts and
the capabilities that the pod names, and can write nothing of their root. Probes are asked, and what
they say becomes the pod's status. A program of this environment stands for each image. Not there:
the pod's own network, limits of memory and processors, seccomp. What a pod asks for that is not
known here is an error.
"""

import base64
import json
import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path

from demo.process import ManagedProcess, fetch_status
from tests.support import bubblewrap
from tests.support.cluster import Cluster
from tests.support.resources import Resource

MISSING = [name for name in ("bwrap", "setpriv") if shutil.which(name) is None]
"""Programs that are needed and not here: Debian's bubblewrap and util-linux."""
_READY_SECONDS, _END_SECONDS = 60.0, 30.0
_KNOWN_OF_A_CONTAINER = {
    "name", "image", "imagePullPolicy", "command", "args", "env", "ports", "resources",
    "startupProbe", "readinessProbe", "livenessProbe", "lifecycle", "securityContext",
    "volumeMounts", "restartPolicy", "terminationMessagePath", "terminationMessagePolicy",
}  # fmt: skip


class RunningPod:
    """One pod's containers. ``images`` are commands by the image's name without its tag or digest.

    ``hosts`` are the names that resolve to this machine: what the cluster's DNS would answer.
    Containers that ``without`` names are left out. Without ``wait`` none is waited for.
    """

    def __init__(
        self,
        cluster: Cluster,
        pod: Resource,
        images: Mapping[str, Sequence[str]],
        folder: Path,
        *,
        hosts: Sequence[str] = (),
        without: Sequence[str] = (),
        wait: bool = True,
    ) -> None:
        self._cluster, self._pod, self._images, self.folder = cluster, pod, images, folder
        self.namespace = pod["metadata"]["namespace"]
        self._without, self._wait = without, wait
        self.running: dict[str, ManagedProcess] = {}
        self._volumes = folder / "volumes"
        self._volumes.mkdir(parents=True)
        folder.chmod(0o755)
        self._hosts = folder / "hosts"
        rooted = (f"{name}{end}" for name in hosts for end in ("", "."))
        self._hosts.write_text(f"127.0.0.1 localhost {' '.join(rooted)}\n")

    def start(self) -> None:
        """Make the volumes, and start each container when those before it are ready."""
        spec = self._pod["spec"]
        for volume in spec["volumes"]:
            self._make(volume)
        for container in spec.get("initContainers", ()):
            if container["name"] in self._without:
                continue
            if container.get("restartPolicy") != "Always":
                raise NotImplementedError(f"an init container that ends: {container['name']}")
            self._run(container)
        for container in spec["containers"]:
            if container["name"] not in self._without:
                self._run(container)
        self.report()

    def stop(self) -> None:
        """End the containers: those of the pod first, then what started before them."""
        for name in reversed(list(self.running)):
            self.end(name)

    def end(self, name: str) -> None:
        """End one container, by a signal to its program: bubblewrap passes none on."""
        process = self.running.pop(name)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        try:
            for pid in children.read_text().split():
                os.kill(int(pid), signal.SIGTERM)
            process.wait(_END_SECONDS)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it has ended
        finally:
            process.stop()

    def refresh(self) -> None:
        """Write anew what ConfigMaps and Secrets hold by now, as a kubelet does each minute."""
        for volume in self._pod["spec"]["volumes"]:
            if "emptyDir" not in volume:
                self._fill(volume)

    def report(self) -> None:
        """Tell the cluster whether every container is ready."""
        is_ready = all(
            self._answers(container, container.get("readinessProbe"))
            for container in self._containers()
        )
        conditions = [
            {"type": kind, "status": str(is_ready), "lastTransitionTime": _now()}
            for kind in ("Initialized", "ContainersReady", "Ready")
        ]
        status = {"status": {"phase": "Running", "conditions": conditions}}
        self._cluster.kubectl(
            "--namespace", self.namespace, "patch", "pod", self._pod["metadata"]["name"],
            "--subresource=status", "--type=merge", f"--patch={json.dumps(status)}",
        )  # fmt: skip

    def _containers(self) -> Iterator[Resource]:
        spec = self._pod["spec"]
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            if container["name"] not in self._without:
                yield container

    # Volumes

    def _make(self, volume: Resource) -> None:
        folder = self._volumes / volume["name"]
        folder.mkdir()
        group = self._pod["spec"].get("securityContext", {}).get("fsGroup", -1)
        os.chown(folder, -1, group)
        folder.chmod(0o2777 if "emptyDir" in volume else 0o755)
        if "emptyDir" not in volume:
            self._fill(volume)

    def _fill(self, volume: Resource) -> None:
        """Write a volume's files into a folder of their own, to which a link is exchanged."""
        folder = self._volumes / volume["name"]
        files, mode = self._files(volume)
        data = folder / f"..{time.monotonic_ns()}"
        data.mkdir(mode=0o755)
        group = self._pod["spec"].get("securityContext", {}).get("fsGroup", -1)
        for name, content in files.items():
            path = data / name
            path.write_bytes(content)
            # With a group for the volumes, a kubelet lets it read.
            path.chmod(mode | (0o440 if group != -1 else 0))
            os.chown(path, -1, group)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        fresh = folder / "..data_tmp"
        fresh.symlink_to(data.name)
        before = (folder / "..data").resolve() if (folder / "..data").exists() else None
        fresh.rename(folder / "..data")
        if before is not None:
            shutil.rmtree(before)

    def _files(self, volume: Resource) -> tuple[dict[str, bytes], int]:
        if "configMap" in volume or "secret" in volume:
            kind = "configMap" if "configMap" in volume else "secret"
            source = volume[kind]
            name = source["name"] if kind == "configMap" else source["secretName"]
            found = self._cluster.get(self.namespace, kind.lower(), name)
            if kind == "configMap":
                data = {key: value.encode() for key, value in found.get("data", {}).items()}
            else:
                data = {key: base64.b64decode(value) for key, value in found["data"].items()}
            if "items" in source:
                data = {each["path"]: data[each["key"]] for each in source["items"]}
            return data, source.get("defaultMode", 0o644)
        if "projected" in volume:
            files = {}
            for source in volume["projected"]["sources"]:
                ((kind, wanted),) = source.items()
                if kind != "serviceAccountToken":
                    raise NotImplementedError(f"a projected {kind}")
                account = self._pod["spec"]["serviceAccountName"]
                token = self._cluster.token(self.namespace, account, wanted["audience"])
                files[wanted["path"]] = token.encode()
            return files, volume["projected"].get("defaultMode", 0o644)
        raise NotImplementedError(f"a volume of the kind {sorted(volume)}")

    # Containers

    def _run(self, container: Resource) -> None:
        unknown = set(container) - _KNOWN_OF_A_CONTAINER
        if unknown:
            raise NotImplementedError(f"{container['name']}: {sorted(unknown)}")
        name = container["name"]
        variables = self._variables(container)
        command = [
            *self._sandbox(container, variables),
            *self._program(container, variables),
        ]
        process = ManagedProcess(name, command)
        self.running[name] = process
        if not self._wait:
            return
        probe = container.get("startupProbe") or container.get("readinessProbe")
        process.wait_until(lambda: self._answers(container, probe), _READY_SECONDS)

    def _program(self, container: Resource, variables: Mapping[str, str]) -> list[str]:
        image = re.sub(r"(:[^/]*)?(@.*)?$", "", container["image"])
        program = list(self._images[image])
        if "command" in container:
            # An image's own program; its name is the last word of what stands for it.
            (named,) = container["command"]
            if Path(program[-1]).name != named:
                raise NotImplementedError(f"{container['name']}: the command {named}")

        def expanded(text: str) -> str:
            return re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], text)

        return [*program, *map(expanded, container.get("args", ()))]

    def _variables(self, container: Resource) -> dict[str, str]:
        made = {}
        for each in container.get("env", ()):
            if "value" in each or "valueFrom" not in each:
                made[each["name"]] = each.get("value", "")
                continue
            made[each["name"]] = self._field(each["valueFrom"]["fieldRef"]["fieldPath"])
        return made

    def _field(self, path: str) -> str:
        if path == "status.podIP":
            return "127.0.0.1"
        if path == "spec.nodeName":
            return "node-1"
        metadata = self._pod["metadata"]
        if annotation := re.fullmatch(r"metadata\.annotations\['(.+)'\]", path):
            return str(metadata.get("annotations", {}).get(annotation[1], ""))
        return str(metadata[path.removeprefix("metadata.")])

    def _sandbox(self, container: Resource, variables: Mapping[str, str]) -> list[str]:
        pod, own = self._pod["spec"].get("securityContext", {}), container["securityContext"]
        user = own.get("runAsUser", pod.get("runAsUser"))
        group = own.get("runAsGroup", pod.get("runAsGroup", user))
        if user is None:
            raise NotImplementedError(f"{container['name']}: the user of its image")
        mounts = {each["mountPath"]: each for each in container.get("volumeMounts", ())}
        if any("subPath" in each for each in mounts.values()):
            raise NotImplementedError(f"{container['name']}: a mount of a part of a volume")
        command = ["bwrap", "--die-with-parent", "--unshare-ipc", "--unshare-uts", "--clearenv"]
        command += ["--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", "/"]
        for name, value in variables.items():
            command += ["--setenv", name, value]
        command += bubblewrap.folders_above("/etc/hosts", *mounts)
        command += bubblewrap.read_only_root({*mounts, "/etc/hosts"}, without={"/etc/hosts"})
        command += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108
        command += ["--ro-bind", str(self._hosts), "/etc/hosts"]
        for at, mount in mounts.items():
            how = "--ro-bind" if mount.get("readOnly") or not self._is_empty(mount) else "--bind"
            command += [how, str(self._volumes / mount["name"]), at]
        # Last: it may be below one of the mounts.
        command += bubblewrap.folders_above(*bubblewrap.CODE)
        for at in bubblewrap.CODE:
            command += ["--ro-bind", at, at]
        # /dev/stdout is the user's own to open, as a container's runtime has it.
        command += ["sh", "-c", f'chown {user} /dev/stdout && exec "$@"', "sh"]
        command += ["setpriv", f"--reuid={user}", f"--regid={group}", "--no-new-privs"]
        command += ["--pdeathsig=KILL"]  # another user: bubblewrap's own is gone
        groups = {group, pod["fsGroup"]} if "fsGroup" in pod else {group}
        command += [f"--groups={','.join(map(str, sorted(groups)))}"]
        if own.get("capabilities", {}).get("drop") == ["ALL"]:
            command += ["--bounding-set=-all", "--inh-caps=-all"]
        return command

    def _is_empty(self, mount: Resource) -> bool:
        (volume,) = [each for each in self._pod["spec"]["volumes"] if each["name"] == mount["name"]]
        return "emptyDir" in volume

    # Probes

    def _answers(self, container: Resource, probe: Resource | None) -> bool:
        if probe is None:
            return True
        kind = "httpGet" if "httpGet" in probe else "tcpSocket"
        port = probe[kind]["port"]
        if isinstance(port, str):
            (port,) = [
                each["containerPort"] for each in container["ports"] if each.get("name") == port
            ]
        if kind == "httpGet":
            return fetch_status(port, probe[kind]["path"]) == HTTPStatus.OK
        with socket.socket() as tried:
            tried.settimeout(1)
            return tried.connect_ex(("127.0.0.1", port)) == 0


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
