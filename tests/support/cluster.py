"""A Kubernetes control plane on loopback: etcd, kube-apiserver and kube-controller-manager.

Deployments become pods here, and admission is asked about each; no scheduler and no kubelet run.
``tests.support.pods`` runs what a pod says. ``make test-kubernetes`` builds the programs.
"""

import base64
import json
import os
import secrets
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.process import ManagedProcess, free_ports
from tests.support.authorities import Ca, pem
from tests.support.resources import Resource
from tests.support.waiting import wait_until

PROGRAMS = Path(sysconfig.get_path("scripts")).parent / "cluster"
NEEDED = ("etcd", "kube-apiserver", "kube-controller-manager", "kubectl")
MISSING = [name for name in NEEDED if not (PROGRAMS / name).exists()]
"""Programs that are not here: ``tools/get-cluster`` brings them where there is Go."""
ISSUER = "https://kubernetes.default.svc.cluster.local"
READY_SECONDS = 90.0


def program(name: str) -> str:
    """Return the path of one of the programs."""
    return str(PROGRAMS / name)


class Cluster:
    """A running control plane; ``kubeconfig`` is its administrator's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        etcd, peer, api = free_ports(3)
        self.address = f"https://127.0.0.1:{api}"
        self.ca = Ca("a cluster's CA")
        self.kubeconfig = folder / "kubeconfig"
        self._write_files()
        self._processes: list[ManagedProcess] = []
        try:
            self._start("etcd", [
                f"--data-dir={folder / 'etcd'}", "--unsafe-no-fsync", "--log-level=warn",
                f"--listen-client-urls=http://127.0.0.1:{etcd}",
                f"--advertise-client-urls=http://127.0.0.1:{etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                f"--initial-cluster=default=http://127.0.0.1:{peer}",
            ])  # fmt: skip
            server = self._start("kube-apiserver", [
                f"--etcd-servers=http://127.0.0.1:{etcd}", f"--secure-port={api}",
                "--bind-address=127.0.0.1", "--endpoint-reconciler-type=none",
                f"--tls-cert-file={folder / 'api.crt'}",
                f"--tls-private-key-file={folder / 'api.key'}",
                f"--token-auth-file={folder / 'tokens.csv'}", "--authorization-mode=RBAC",
                f"--service-account-issuer={ISSUER}",
                f"--service-account-key-file={folder / 'accounts.key'}",
                f"--service-account-signing-key-file={folder / 'accounts.key'}",
                "--service-cluster-ip-range=10.96.0.0/16",
            ])  # fmt: skip
            server.wait_until(self._is_ready, READY_SECONDS)
            self._start("kube-controller-manager", [
                f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0",
                f"--service-account-private-key-file={folder / 'accounts.key'}",
                f"--root-ca-file={folder / 'ca.crt'}",
            ])  # fmt: skip
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End its programs, the last one first."""
        while self._processes:
            self._processes.pop().stop()

    def kubectl(
        self, *arguments: str, given: str | None = None, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run kubectl as the administrator; ``check`` raises with what it said."""
        return self.run(program("kubectl"), *arguments, given=given, check=check)

    def run(
        self, *command: str, given: str | None = None, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """Run a client of Kubernetes (kubectl, helm) as the administrator."""
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=120, check=False,
            env=self.environment,
        )  # fmt: skip
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command[:4])}: {done.stdout}{done.stderr}")
        return done

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client needs to find the cluster, and no setting of who runs the tests."""
        home = self.folder / "home"
        return {"KUBECONFIG": str(self.kubeconfig), "HOME": str(home), "PATH": os.environ["PATH"]}

    def get(self, namespace: str, *what: str) -> Any:
        """Return a resource, or a list's items."""
        done = self.kubectl("--namespace", namespace, "get", *what, "--output", "json")
        found = json.loads(done.stdout)
        return found["items"] if found["kind"] == "List" else found

    def namespace(self, name: str) -> None:
        """Make a namespace, or use it, that enforces the standard `restricted` and warns of it."""
        modes = ("enforce", "warn", "audit")
        labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in modes}
        self.apply({
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels},
        })  # fmt: skip
        # A controller makes its account `default`; pods without one are refused.
        wait_until(
            lambda: (
                not self.kubectl(
                    "--namespace", name, "get", "serviceaccount", "default", check=False
                ).returncode
            )
        )

    def apply(self, *resources: Resource, namespace: str | None = None, check: bool = True) -> str:
        """Apply resources as ``kubectl apply`` does, and return what was said, warnings too.

        Those without a namespace of their own come into ``namespace``.
        """
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(resources)}
        named = [] if namespace is None else ["--namespace", namespace]
        done = self.kubectl(
            *named, "apply", "--server-side", "--validate=strict", "--filename", "-",
            given=json.dumps(bundle), check=check,
        )  # fmt: skip
        return done.stdout + done.stderr

    def pods(self, namespace: str, selector: str, count: int = 1) -> list[Resource]:
        """Wait for the pods that a controller makes, and return them."""

        def found() -> list[Resource]:
            every: list[Resource] = self.get(namespace, "pods", "--selector", selector)
            return [each for each in every if "deletionTimestamp" not in each["metadata"]]

        wait_until(lambda: len(found()) == count, 30)
        return found()

    def token(self, namespace: str, account: str, audience: str) -> str:
        """Return a service account's token, as a kubelet asks for one."""
        done = self.kubectl(
            "--namespace", namespace, "create", "token", account, "--audience", audience
        )
        return done.stdout.strip()

    def _start(self, name: str, arguments: list[str]) -> ManagedProcess:
        process = ManagedProcess(name, [program(name), *arguments])
        self._processes.append(process)
        return process

    def _is_ready(self) -> bool:
        done = self.kubectl("get", "--raw", "/readyz", check=False)
        return done.returncode == 0 and done.stdout == "ok"

    def _write_files(self) -> None:
        """Write keys, certificates, the administrator's token and the kubeconfig."""
        (self.folder / "home").mkdir()
        admin = secrets.token_urlsafe(32)
        form = Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        certificate, key = self.ca.leaf(addresses=["127.0.0.1"])
        cluster = {
            "server": self.address,
            "certificate-authority-data": base64.b64encode(
                pem(self.ca.certificate).encode()
            ).decode(),
        }
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "admin", "user": {"token": admin}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "admin"}}],
        }  # fmt: skip
        files = {
            "ca.crt": pem(self.ca.certificate),
            "api.crt": pem(certificate),
            "api.key": key.private_bytes(*form).decode(),
            "accounts.key": ec.generate_private_key(ec.SECP256R1()).private_bytes(*form).decode(),
            "tokens.csv": f"{admin},admin,admin,system:masters\n",
            "kubeconfig": json.dumps(config),
        }
        for name, text in files.items():
            (self.folder / name).touch(0o600)
            (self.folder / name).write_text(text)
