"""Which contents of ConfigMaps and Secrets a pod is to see. Source of the words: the kubelet.

The assignment says which version there is; the agent asks for what it has not. When it cannot be
told, because the control plane is away, it goes by what it holds: an older version lets containers
restart where none would.
"""

from collections.abc import Mapping

from msgspec import Struct

from proto.kinds.references import SECRET
from proto.messages import AssignedPod, Content


class SourceKey(Struct, frozen=True, order=True):
    """Which ConfigMap or Secret."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind.lower()} {self.namespace}/{self.name}"


class Held(Struct, frozen=True):
    """What the agent has of one.

    Attributes:
        asked: The version that it asked for; the one it got may be newer.
    """

    content: Content
    version: str
    asked: str

    def answers(self, version: str) -> bool:
        """Whether it is what an assignment of that version means."""
        return version in (self.version, self.asked)


class Absent(Exception):
    """A container or a volume needs what is not there."""


class Awaited(Exception):
    """It needs what is still on its way."""


class Sources:
    """The contents for one pod."""

    def __init__(
        self,
        pod: AssignedPod,
        held: Mapping[SourceKey, Held],
        unfetched: Mapping[SourceKey, str],
    ) -> None:
        """All that is known.

        Args:
            pod: Whose.
            held: What the agent has.
            unfetched: What it could not have when it last asked, and why.
        """
        self.namespace = pod.namespace
        self._versions = {(source.kind, source.name): source.version for source in pod.sources}
        self._held = held
        self._unfetched = unfetched

    def find(self, kind: str, name: str) -> Held | None:
        """What one of them holds; None: there is none of that name.

        Raises:
            Absent: It cannot be had.
            Awaited: It is not known yet.
        """
        version = self._versions.get((kind, name), "")
        if not version:
            return None
        key = SourceKey(kind, self.namespace, name)
        held = self._held.get(key)
        why_not = self._unfetched.get(key)
        if held is not None and (held.answers(version) or why_not is not None):
            return held
        if why_not is not None:
            raise Absent(f'{kind.lower()} "{name}" cannot be had: {why_not}')
        raise Awaited(str(key))

    def get(self, kind: str, name: str, *, is_optional: bool | None) -> Content:
        """The same; empty when it is not there and need not be.

        Raises:
            Absent: It must be, and is not.
            Awaited: It is not known yet.
        """
        held = self.find(kind, name)
        if held is None and not is_optional:
            raise Absent(f'{kind.lower()} "{name}" not found')
        return Content() if held is None else held.content

    def value(self, kind: str, name: str, key: str, *, is_optional: bool | None) -> str | None:
        """One key as a variable takes it; None when it is not there and need not be.

        Raises:
            Absent: It must be, and is not.
            Awaited: It is not known yet.
        """
        found = variables(kind, self.get(kind, name, is_optional=is_optional)).get(key)
        if found is None and not is_optional:
            raise Absent(f"couldn't find key {key} in {kind} {self.namespace}/{name}")
        return found


def variables(kind: str, content: Content) -> Mapping[str, str]:
    """What variables can take: a ConfigMap's text, a Secret's values."""
    if kind != SECRET:
        return content.text
    return {key: value.decode(errors="replace") for key, value in content.data.items()}


def files(content: Content) -> dict[str, bytes]:
    """What files can hold: everything."""
    return {key: text.encode() for key, text in content.text.items()} | dict(content.data)


def wanted(pods: Mapping[str, AssignedPod]) -> dict[SourceKey, str]:
    """What pods take values from that is there, and its version."""
    return {
        SourceKey(source.kind, pod.namespace, source.name): source.version
        for pod in pods.values()
        for source in pod.sources
        if source.version
    }
