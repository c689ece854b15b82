"""A container's environment and command line, as Kubernetes fills them in.

Source: Kubernetes, "Define Dependent Environment Variables" and the downward API: ``$(NAME)`` is
replaced by a variable defined before it, ``$$(NAME)`` stands for the text ``$(NAME)``, and what
names nothing stays as it is. Variables that come by the dozen (envFrom) yield to those of their
name in ``env``, whose values cannot refer to them.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from node_agent.core import contents, downward
from node_agent.core.contents import Absent, Sources
from node_agent.core.downward import Room
from proto.kinds.container import Container, EnvVarSource
from proto.kinds.references import CONFIG_MAP, SECRET
from proto.messages import AssignedPod

_REFERENCE = re.compile(r"\$(\$|\(([^()]*)\))")


class Surroundings(Struct, frozen=True):
    """What a container is told of where it runs."""

    pod_ip: str
    host_ip: str
    room: Room = Room()


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


def expand_all(text: str, variables: Mapping[str, str]) -> str:
    """The same, where nothing may stay as it is.

    Raises:
        Absent: There is no such variable.
    """
    for found in _REFERENCE.finditer(text):
        if found.group(1) != "$" and found.group(2) not in variables:
            raise Absent(f'missing value for "{found.group(2)}"')
    return expand(text, variables)


def environment(
    pod: AssignedPod, container: Container, sources: Sources, around: Surroundings
) -> dict[str, str]:
    """The container's variables, in the manifest's order, the host name first as Docker does.

    Raises:
        Absent: A source is not there and must be.
        Awaited: A source is not known yet.
    """
    own_name = {} if pod.spec.host_network else {"HOSTNAME": pod.spec.hostname or pod.name}
    many: dict[str, str] = {}
    for source in container.env_from:
        kind, of = CONFIG_MAP, source.config_map_ref
        if of is None:
            kind, of = SECRET, source.secret_ref
        if of is None:
            continue
        content = sources.get(kind, of.name, is_optional=of.optional)
        found = contents.variables(kind, content)
        many |= {f"{source.prefix}{key}": found[key] for key in sorted(found)}
    values: dict[str, str] = dict(own_name)
    for variable in container.env:
        value: str | None
        if variable.value_from is None:
            value = expand(variable.value, values)
        else:
            value = _value(pod, container, variable.value_from, sources, around)
        if value is not None:
            values[variable.name] = value
    own = {variable.name for variable in container.env}
    return own_name | many | {name: value for name, value in values.items() if name in own}


def _value(
    pod: AssignedPod,
    container: Container,
    source: EnvVarSource,
    sources: Sources,
    around: Surroundings,
) -> str | None:
    """None: there shall be no such variable."""
    if (of := source.config_map_key_ref) is not None:
        return sources.value(CONFIG_MAP, of.name, of.key, is_optional=of.optional)
    if (secret := source.secret_key_ref) is not None:
        return sources.value(SECRET, secret.name, secret.key, is_optional=secret.optional)
    if source.resource_field_ref is not None:
        return downward.amount(pod, container, source.resource_field_ref, around.room)
    path = source.field_ref.field_path if source.field_ref else ""
    return downward.field(pod, path, pod_ip=around.pod_ip, host_ip=around.host_ip)
