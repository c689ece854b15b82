"""The service account that every namespace has, and what a pod gets of its own.

Source: Kubernetes, pkg/controller/serviceaccount, plugin/pkg/admission/serviceaccount.
"""

from msgspec.structs import replace

from orchestrator.core.decisions import Create, Plan
from proto.kinds.access import SERVICE_ACCOUNTS, ServiceAccount
from proto.kinds.namespace import Namespace
from proto.kinds.pod import Pod
from proto.meta import ObjectMeta

DEFAULT = "default"


def plan(namespace: Namespace, account: ServiceAccount | None) -> Plan:
    """Make it, and make it again when somebody deletes it; not in a namespace that goes.

    Args:
        namespace: Present.
        account: The one of that name, if there is one.
    """
    if account is not None or namespace.metadata.deletion_timestamp:
        return Plan()
    meta = ObjectMeta(name=DEFAULT, namespace=namespace.metadata.name)
    made = ServiceAccount(metadata=meta)
    return Plan((Create(SERVICE_ACCOUNTS, made, "every namespace has it"),))


def admit(pod: Pod, account: ServiceAccount | None) -> Pod:
    """A new pod that names no secrets to pull its images with has those of its account.

    Args:
        pod: About to be created.
        account: The one that it names, or the default one; None: there is none.
    """
    if account is None or pod.spec.image_pull_secrets or not account.image_pull_secrets:
        return pod
    spec = replace(pod.spec, image_pull_secrets=account.image_pull_secrets)
    return replace(pod, spec=spec)
