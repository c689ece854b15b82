"""Why something is as it is, in words: pure functions from what the API shows to findings.

`explain` takes an object and all that was seen around it (`Seen`), and returns an `Explanation`:
one line of summary, then findings, the worst first. The same functions serve ``longshore why``,
``longshore status``, a rollout that is stuck, and the page of ``longshore ui``.
"""

from orchestrator.cli.why.finding import Explanation, Finding, Weight
from orchestrator.cli.why.nodes import explain_node
from orchestrator.cli.why.others import explain_other
from orchestrator.cli.why.pods import explain_pod
from orchestrator.cli.why.schedules import explain_cron_job
from orchestrator.cli.why.seen import Seen
from orchestrator.cli.why.sets import explain_daemon_set, explain_stateful_set
from orchestrator.cli.why.workloads import explain_deployment, explain_job, explain_replicas
from proto.kinds.cronjob import CronJob
from proto.kinds.daemonset import DaemonSet
from proto.kinds.deployment import Deployment
from proto.kinds.job import Job
from proto.kinds.node import Node
from proto.kinds.pod import Pod
from proto.kinds.replicaset import ReplicaSet
from proto.kinds.replicationcontroller import ReplicationController
from proto.kinds.statefulset import StatefulSet
from proto.meta import Resource

__all__ = ["Explanation", "Finding", "Seen", "Weight", "explain"]


def explain(found: Resource, seen: Seen) -> Explanation:
    """Why it is as it is.

    Args:
        found: Any object; pods, nodes and workloads are understood best.
        seen: What was seen around it; the object itself need not be in it.
    """
    match found:
        case Pod():
            return explain_pod(found, seen)
        case Node():
            return explain_node(found, seen)
        case Deployment():
            return explain_deployment(found, seen)
        case ReplicaSet() | ReplicationController():
            return explain_replicas(found, seen)
        case StatefulSet():
            return explain_stateful_set(found, seen)
        case DaemonSet():
            return explain_daemon_set(found, seen)
        case Job():
            return explain_job(found, seen)
        case CronJob():
            return explain_cron_job(found, seen)
        case _:
            return explain_other(found, seen)
