"""What is to be known about a kind, as data.

Routes, discovery, OpenAPI, store keys, tables and CLI columns derive from these facts; nothing else
in the project branches on which kind it holds, except the controllers that act on it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Resource

R = TypeVar("R", bound=Resource)

STANDARD_VERBS = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)


Cell = str | int | float | None
"""A value in a table; None: there is none, and kubectl prints nothing."""


@dataclass(frozen=True)
class Column:
    """One column of ``kubectl get``.

    Attributes:
        name: Header; kubectl prints it in capitals.
        cell: The value for an object at a wall-clock time in epoch milliseconds.
        type: ``string``, ``integer``, ``number``, ``boolean`` or ``date``.
        priority: Above 0: shown with ``-o wide`` only.
    """

    name: str
    cell: Callable[[Any, int], Cell]
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""


@dataclass(frozen=True)
class ScalePaths:
    """Names of fields from the top of an object's JSON; `selector` is empty when there is none."""

    replicas: tuple[str, ...]
    observed: tuple[str, ...]
    selector: tuple[str, ...] = ()


@dataclass(frozen=True)
class Conversion:
    """How a version that is served becomes the one that is stored, and back.

    Versions of a built-in kind lose nothing on the way; of a declared one, what the other version
    does not have, as in Kubernetes.

    Attributes:
        kind: The stored version.
    """

    kind: "Kind[Any]"
    to_stored: Callable[[Any], Any]
    from_stored: Callable[[Any], Any]


def _unchanged(resource: Any) -> Any:
    return resource


def _no_errors(_new: Any, _old: Any) -> list[FieldError]:
    return []


@dataclass(frozen=True, eq=False)
class Kind(Generic[R]):
    """The facts of one kind.

    Attributes:
        name: CamelCase, as in a manifest's ``kind``.
        group: API group; empty for the core group.
        plural: As in URLs.
        type: The struct that holds it.
        short_names: As typed: ``po``.
        categories: ``all`` puts it into ``kubectl get all``.
        verbs: What can be asked of it, its subresources apart.
        columns: Besides Name (first) and Age, which the columns name themselves.
        defaults: Fills in what Kubernetes fills in; idempotent.
        validate: Every wrong field of ``(new, old)``; ``old`` is None on create.
        validate_part: The same by subresource, where `validate` would forbid what it is for.
        fields: Field selectors it has beyond metadata.name and metadata.namespace.
        has_status: Whether ``status`` is a subresource (ignored by writes to the object itself).
        has_scale: Whether ``/scale`` reads and writes ``spec.replicas``.
        subresources: Further ones, by name, with their verbs: ``log``, ``eviction``…
        scale: Where a custom kind keeps its numbers of replicas.
        schema: Of a custom kind's JSON, structural; None for a kind whose `type` says it all.
        is_served: Whether clients may ask for it; a version that objects are kept in need not be.
        deprecation: What whoever asks for it should know; empty for a version that is not
            deprecated.
        is_deleted_gracefully: A delete waits for an agent (or a controller) to confirm.
        permanent: Names of objects that may not be deleted.
        check_name: What is wrong with a name, of its path and the name.
        conversion: Of a version that is served and not stored; None for one that is stored.
        requested_by: A new object with who asks for it: ``(object, username, groups, uid)``.
        notice: What whoever writes one should know, since it does less than in Kubernetes: sent
            as a ``Warning``. Empty for a kind that is acted on.
    """

    name: str
    group: str
    version: str
    plural: str
    type: type[R]
    singular: str
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = STANDARD_VERBS
    columns: tuple[Column, ...] = ()
    defaults: Callable[[R], R] = _unchanged
    validate: Callable[[R, R | None], list[FieldError]] = _no_errors
    validate_part: Mapping[str, Callable[[R, R], list[FieldError]]] = field(default_factory=dict)
    fields: Mapping[str, Callable[[R], str]] = field(default_factory=dict)
    has_status: bool = True
    has_scale: bool = False
    subresources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scale: ScalePaths | None = None
    schema: Mapping[str, Any] | None = None
    is_served: bool = True
    deprecation: str = ""
    is_deleted_gracefully: bool = False
    permanent: tuple[str, ...] = ()
    check_name: Callable[[str, str], list[FieldError]] = validation.subdomain
    conversion: Conversion | None = None
    requested_by: Callable[[R, str, tuple[str, ...], str], R] | None = None
    notice: str = ""

    @property
    def stored(self) -> "Kind[Any]":
        """The version in which objects are kept."""
        return self if self.conversion is None else self.conversion.kind

    @property
    def api_version(self) -> str:
        """``v1`` or ``apps/v1``."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The plural with its group, as error messages say it: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def __repr__(self) -> str:
        return f"<Kind {self.resource}/{self.version}>"


def version_of(
    stored: Kind[Any],
    version: str,
    type: type[R],
    *,
    to_stored: Callable[[Any], Any],
    from_stored: Callable[[Any], Any],
) -> Kind[R]:
    """Another version of a kind: the same facts of objects that look different."""
    return Kind(
        name=stored.name,
        group=stored.group,
        version=version,
        plural=stored.plural,
        type=type,
        singular=stored.singular,
        is_namespaced=stored.is_namespaced,
        short_names=stored.short_names,
        categories=stored.categories,
        columns=tuple(_column(column, to_stored) for column in stored.columns),
        fields={name: _field(read, to_stored) for name, read in stored.fields.items()},
        has_status=stored.has_status,
        subresources=stored.subresources,
        check_name=stored.check_name,
        conversion=Conversion(stored, to_stored, from_stored),
        notice=stored.notice,
    )


def _column(column: Column, to_stored: Callable[[Any], Any]) -> Column:
    return replace(column, cell=lambda found, now_ms: column.cell(to_stored(found), now_ms))


def _field(read: Callable[[Any], str], to_stored: Callable[[Any], Any]) -> Callable[[Any], str]:
    return lambda found: read(to_stored(found))


def format_age(since_ms: int, now_ms: int) -> str:
    """A duration as kubectl shows it (apimachinery, duration.HumanDuration).

    >>> [format_age(0, s * 1000) for s in (5, 119, 150, 600, 3600 * 5, 3600 * 30, 86400 * 3)]
    ['5s', '119s', '2m30s', '10m', '5h', '30h', '3d']
    """
    seconds = max(0, (now_ms - since_ms) // 1000)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return f"{days}d{hours % 24}h" if hours % 24 else f"{days}d"
    if days < 365 * 2:
        return f"{days}d"
    years = days // 365
    if days < 365 * 8 and days % 365:
        return f"{years}y{days % 365}d"
    return f"{years}y"
