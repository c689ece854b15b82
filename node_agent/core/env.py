"""A container's environment and command line, as Kubernetes fills them in.

Source: Kubernetes, "Define Dependent Environment Variables" and the downward API: ``$(NAME)`` is
replaced by a variable defined before it, ``$$(NAME)`` stands for the text ``$(NAME)``, and what
names nothing stays as it is.
"""

import re
from collections.abc import Mapping

from proto.kinds.container import Container, EnvVar
from proto.messages import AssignedPod

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")
_KEYED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with its references replaced.

    >>> expand("$(A) $$(A) $(B) $A", {"A": "1"})
    '1 $(A) $(B) $A'
    """

    def replacement(found: re.Match[str]) -> str:
        if found.group(1) == "$":
            return "$"
        return variables.get(found.group(2), found.group(0))

    return _REFERENCE.sub(replacement, text)


def environment(
    pod: AssignedPod, container: Container, *, pod_ip: str, host_ip: str
) -> dict[str, str]:
    """The container's variables, in the manifest's order, the host name first as Docker does."""
    own_name = {} if pod.spec.host_network else {"HOSTNAME": pod.spec.hostname or pod.name}
    values: dict[str, str] = dict(own_name)
    for variable in container.env:
        values[variable.name] = _value(pod, variable, values, pod_ip=pod_ip, host_ip=host_ip)
    return values


def _value(
    pod: AssignedPod, variable: EnvVar, values: Mapping[str, str], *, pod_ip: str, host_ip: str
) -> str:
    if variable.value_from is None or variable.value_from.field_ref is None:
        return expand(variable.value, values)
    path = variable.value_from.field_ref.field_path
    if keyed := _KEYED.fullmatch(path):
        found = pod.labels if keyed.group(1) == "labels" else pod.annotations
        return found.get(keyed.group(2), "")
    return {
        "metadata.name": pod.name,
        "metadata.namespace": pod.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": "default",
        "status.hostIP": host_ip,
        "status.podIP": pod_ip,
    }.get(path, "")
