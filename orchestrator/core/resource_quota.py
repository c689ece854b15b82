"""ResourceQuota: says what is used of it. Whether something may use more is admission's business.

Source: Kubernetes, pkg/controller/resourcequota.
"""

from msgspec.structs import replace

from orchestrator.core.admission.usage import Usage
from orchestrator.core.decisions import Plan, UpdateStatus
from proto.kinds.quota import RESOURCE_QUOTAS, ResourceQuota, ResourceQuotaStatus


def plan(quota: ResourceQuota, used: Usage) -> Plan:
    """Tell what its bounds are and how much is used.

    Args:
        quota: Present.
        used: By the names of its bounds.
    """
    status = ResourceQuotaStatus(
        hard=quota.spec.hard, used={name: str(used[name]) for name in sorted(used)}
    )
    if status == quota.status:
        return Plan()
    told = ", ".join(f"{name} {amount}" for name, amount in status.used.items())
    return Plan((UpdateStatus(RESOURCE_QUOTAS, replace(quota, status=status), f"used: {told}"),))
