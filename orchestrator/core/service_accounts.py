"""The service account that every namespace has.

Source: Kubernetes, pkg/controller/serviceaccount.
"""

from orchestrator.core.decisions import Create, Plan
from proto.kinds.access import SERVICE_ACCOUNTS, ServiceAccount
from proto.kinds.namespace import Namespace
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
