"""Kinds while nothing acts on them: made, shown, described and changed with real kubectl."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proto.kinds import ALL
from tests.e2e.kubectl import binaries
from tests.e2e.kubectl.binaries import Answer
from tests.unit.api.server import running
from tests.unit.api.test_kinds import MANIFESTS, SIGNING, manifest

Run = Callable[..., Awaitable[Answer]]

KINDS = {
    "rc": "ReplicationController",
    "sts": "StatefulSet",
    "ds": "DaemonSet",
    "controllerrevisions": "ControllerRevision",
    "pv": "PersistentVolume",
    "pvc": "PersistentVolumeClaim",
    "sc": "StorageClass",
    "ep": "Endpoints",
    "endpointslices": "EndpointSlice",
    "netpol": "NetworkPolicy",
    "ingressclasses": "IngressClass",
    "hpa": "HorizontalPodAutoscaler",
    "csr": "CertificateSigningRequest",
}

NOTICED = {kind.name for kind in ALL if kind.notice} & {*KINDS.values()}

ALWAYS_CONFIGURED = {
    "endpoints", "endpointslice.discovery.k8s.io", "networkpolicy.networking.k8s.io",
}  # fmt: skip
"""Defaults fill in the items of lists that a patch replaces as a whole, in Kubernetes too."""


def signing_request() -> str:
    """A real one, since describe reads it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return base64.b64encode(made.public_bytes(serialization.Encoding.PEM)).decode()


def body_of(kind: str) -> str:
    body = MANIFESTS[kind][1]
    if kind == "CertificateSigningRequest":
        body = {"spec": SIGNING | {"request": signing_request()}}
    return json.dumps(manifest(kind, body))


@asynccontextmanager
async def kubectl(binary: Path, folder: Path) -> AsyncIterator[Run]:
    """For a server of its own."""
    async with running() as api:
        client = binaries.Kubectl(binary, api.url, folder)

        async def run(line: str, given: str = "") -> Answer:
            return await asyncio.to_thread(client.run, *line.split(), given=given)

        yield run


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
async def test_every_kind_is_made_listed_described_and_deleted(binary: Path, tmp_path: Path):
    async with kubectl(binary, tmp_path) as run:
        made = "\n".join(body_of(kind) for kind in KINDS.values())
        answer = await run("apply -f -", given=made)
        assert answer.code == 0, answer
        assert answer.out.count(" created\n") == len(KINDS)
        assert answer.err.count("Warning:") == len(NOTICED)
        assert answer.err.count("are stored") == len(NOTICED)
        answer = await run(f"get {','.join(KINDS)}")
        assert len(re.findall(r"^\S+/x ", answer.out, re.MULTILINE)) == len(KINDS), answer
        for name in KINDS:
            answer = await run(f"describe {name} x")
            assert answer.code == 0, answer
            assert answer.out.startswith("Name:"), answer
        answer = await run("apply -f -", given=made)
        assert answer.code == 0, answer
        changed = {line.split("/")[0] for line in answer.out.splitlines() if "configured" in line}
        assert changed == ALWAYS_CONFIGURED
        answer = await run("get all -o name")
        assert "replicationcontroller/x" in answer.out
        assert "horizontalpodautoscaler.autoscaling/x" in answer.out
        answer = await run(f"delete {','.join(KINDS)} x --wait=false")
        assert (answer.code, answer.out.count(" deleted")) == (0, len(KINDS)), answer


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
async def test_an_autoscaler_is_made_in_one_version_and_shown_in_the_other(
    binary: Path, tmp_path: Path
):
    async with kubectl(binary, tmp_path) as run:
        assert (await run("create deployment web --image=busybox")).code == 0
        answer = await run("autoscale deployment web --min=2 --max=5 --cpu-percent=70")
        assert answer.out == "horizontalpodautoscaler.autoscaling/web autoscaled\n", answer
        assert "Warning" not in answer.err
        header, row = (await run("get hpa")).out.splitlines()
        assert header.split() == [
            "NAME", "REFERENCE", "TARGETS", "MINPODS", "MAXPODS", "REPLICAS", "AGE",
        ]  # fmt: skip
        assert row.split()[:7] == ["web", "Deployment/web", "cpu:", "<unknown>/70%", "2", "5", "0"]
        said = (await run("describe hpa web")).out
        assert "resource cpu on pods  (as a percentage of request):  <unknown> / 70%" in said
        old = await run("get horizontalpodautoscalers.v1.autoscaling web -o json")
        assert json.loads(old.out)["spec"]["targetCPUUtilizationPercentage"] == 70
        new = await run("get horizontalpodautoscalers.v2.autoscaling web -o json")
        assert json.loads(new.out)["apiVersion"] == "autoscaling/v2"
        patch = '{"spec":{"targetCPUUtilizationPercentage":55}}'
        answer = await run(
            f"patch horizontalpodautoscalers.v1.autoscaling web --type=merge -p {patch}"
        )
        assert answer.code == 0, answer
        assert "<unknown>/55%" in (await run("get hpa web")).out
        assert "metrics" in (await run("explain hpa.spec")).out
        old = await run("explain hpa.spec --api-version=autoscaling/v1")
        assert "targetCPUUtilizationPercentage" in old.out


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
async def test_rollouts_are_waited_for_in_vain_while_nobody_rolls(binary: Path, tmp_path: Path):
    async with kubectl(binary, tmp_path) as run:
        for kind in ("StatefulSet", "DaemonSet"):
            assert (await run("create -f -", given=body_of(kind))).code == 0
        answer = await run("rollout status sts/x --timeout=1s")
        assert answer.out == "Waiting for statefulset spec update to be observed...\n"
        assert (answer.code, answer.err) == (1, "error: timed out waiting for the condition\n")
        answer = await run("rollout status ds/x --timeout=1s")
        assert answer.out == "Waiting for daemon set spec update to be observed...\n"
        assert answer.code == 1
        for name in ("sts", "ds"):
            answer = await run(f"rollout history {name}/x")
            assert (answer.code, "No rollout history found." in answer.out) == (0, True), answer
            assert (await run(f"rollout restart {name}/x")).code == 0
            assert (await run(f"set image {name}/x c=busybox:2")).code == 0
        assert (await run("scale sts/x --replicas=3")).out == "statefulset.apps/x scaled\n"
        assert (await run("get sts x --no-headers")).out.split()[:2] == ["x", "0/3"]
        answer = await run("set serviceaccount sts x ci")
        assert "serviceaccount updated" in answer.out
        assert "ignored" not in answer.err


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
async def test_a_certificate_is_approved_or_denied_once(binary: Path, tmp_path: Path):
    async with kubectl(binary, tmp_path) as run:
        assert (await run("create -f -", given=body_of("CertificateSigningRequest"))).code == 0
        assert "CommonName:jane" in "".join((await run("describe csr x")).out.split())
        answer = await run("certificate approve x")
        assert answer.out == "certificatesigningrequest.certificates.k8s.io/x approved\n"
        assert (await run("get csr x --no-headers")).out.split()[-1] == "Approved"
        wrong = await run("certificate deny x")
        assert (wrong.code, "already Approved" in wrong.err) == (1, True), wrong


@pytest.mark.parametrize("binary", binaries.varied(), ids=lambda path: path.name)
async def test_a_cluster_is_dumped(binary: Path, tmp_path: Path):
    async with kubectl(binary, tmp_path) as run:
        answer = await run("cluster-info dump")
        assert (answer.code, answer.err) == (0, "")
        for kind in ("ReplicationController", "Service", "DaemonSet", "Deployment", "ReplicaSet"):
            assert f'"kind": "{kind}List"' in answer.out
