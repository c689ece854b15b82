"""Service accounts: a new pod that names no secrets to pull its images with has its account's.

Source: Kubernetes, plugin/pkg/admission/serviceaccount.
"""

from typing import Any

from msgspec.structs import replace

from orchestrator.core.admission.cluster import Cluster, R
from orchestrator.core.service_accounts import DEFAULT
from proto.kinds.access import SERVICE_ACCOUNTS
from proto.kinds.kind import Kind
from proto.kinds.pod import PODS, Pod


def admit(kind: Kind[R], new: R, old: R | None, cluster: Cluster) -> R:
    """A pod with the secrets of the account that it names, or of the default one."""
    if kind is not PODS or old is not None or not isinstance(new, Pod):
        return new
    spec = new.spec
    name = spec.service_account_name or DEFAULT
    account = cluster.get(SERVICE_ACCOUNTS, new.metadata.namespace, name)
    if account is None or spec.image_pull_secrets or not account.image_pull_secrets:
        return new
    pod: Any = new
    found: R = replace(pod, spec=replace(spec, image_pull_secrets=account.image_pull_secrets))
    return found
