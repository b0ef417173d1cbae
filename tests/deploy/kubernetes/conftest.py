"""A control plane, and what stands around its pods, for the tests of this folder."""

import json
import os
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from demo.application import SampleApplication
from demo.openbao import OpenBao
from tests.deploy.kubernetes.world import World
from tests.support import pods
from tests.support.cluster import ISSUER, MISSING, PROGRAMS, Cluster
from tests.support.minting import Issuer


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane with the custom resources, and one node that nobody runs."""
    if "SEPTEM_TEST_CLUSTER" not in os.environ or MISSING:
        pytest.skip("no cluster: make test-kubernetes, where Go is")
    running = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        running.apply(*(json.loads(path.read_text()) for path in (PROGRAMS / "crds").iterdir()))
        running.kubectl(
            "wait", "--for=condition=Established", "--timeout=60s",
            "customresourcedefinitions", "--all",
        )  # fmt: skip
        running.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def world(cluster: Cluster) -> Iterator[World]:
    """OpenBao with the login of the cluster, as the page says."""
    if pods.MISSING:
        pytest.skip(f"not here: {', '.join(pods.MISSING)}")
    issuer = Issuer.generate()
    openbao, application = OpenBao(), SampleApplication()
    try:
        root = openbao.enable_pki(["example.com"])
        openbao.enable_services("example")
        form = Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
        openbao.put_key(issuer.private.private_bytes(*form).decode())
        client = openbao.client
        client.sys.enable_auth_method("kubernetes")
        cluster.namespace("vault")
        cluster.apply(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "vault"}},
            namespace="vault",
        )
        cluster.kubectl(
            "create", "clusterrolebinding", "vault", "--clusterrole=system:auth-delegator",
            "--serviceaccount=vault:vault",
        )  # fmt: skip
        # In a pod OpenBao finds the CA and a token of its own.
        client.write_data("auth/kubernetes/config", data={
            "kubernetes_host": cluster.address,
            "kubernetes_ca_cert": (cluster.folder / "ca.crt").read_text(),
            "token_reviewer_jwt": cluster.token(
                "vault", "vault", ISSUER
            ),
        })  # fmt: skip
        yield World(cluster, openbao, issuer, application, root)
    finally:
        application.stop()
        openbao.stop()
