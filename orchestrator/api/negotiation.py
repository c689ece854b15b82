"""Which form of an answer a client accepts.

Source of the parameters: Kubernetes, API concepts, "Receiving resources as Tables".
"""

from collections.abc import Iterator
from enum import Enum

from msgspec import Struct

from orchestrator.api.errors import HttpError

JSON = "application/json"
_SAYS = "only the following media types are accepted: application/json, application/yaml"


class Shape(Enum):
    """What an object is shown as."""

    OBJECT = "object"
    TABLE = "table"
    PARTIAL = "partial"


class Format(Struct, frozen=True):
    """The form of an answer.

    Attributes:
        version: Of meta.k8s.io, for tables and partial objects.
    """

    shape: Shape = Shape.OBJECT
    version: str = "v1"


class MediaType(Struct, frozen=True):
    """One choice of an Accept header."""

    name: str
    parameters: dict[str, str]


def media_types(accept: str) -> Iterator[MediaType]:
    """The choices of an Accept header, in its order (Kubernetes' clients give no other)."""
    for choice in accept.split(","):
        name, *rest = (part.strip() for part in choice.split(";"))
        pairs = (part.partition("=") for part in rest)
        yield MediaType(name.lower(), {key: value for key, _, value in pairs})


def choose(accept: str) -> Format:
    """The first form of the header that we have; a missing header takes anything.

    Raises:
        HttpError: 406 when there is none.
    """
    for choice in media_types(accept or JSON):
        if choice.name not in (JSON, "application/*", "*/*"):
            continue
        form = choice.parameters.get("as", "")
        if not form:
            return Format()
        version = choice.parameters.get("v", "v1")
        if choice.parameters.get("g") != "meta.k8s.io" or version not in ("v1", "v1beta1"):
            continue
        if form == "Table":
            return Format(Shape.TABLE, version)
        if form in ("PartialObjectMetadata", "PartialObjectMetadataList"):
            return Format(Shape.PARTIAL, version)
    raise HttpError(406, "NotAcceptable", _SAYS)
