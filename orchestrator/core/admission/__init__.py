"""What the rest of the cluster has to say about a write, before it is made.

Defaults and validation look at one object; what needs to know others belongs here. All steps are
pure functions of an object and a `Cluster` to read, in the order of Kubernetes' admission chain:

1. `admit` fills in what others say (an account's secrets, a limit range's defaults, a priority
   class's value), or forbids the object. It comes between an object's defaults and its validation;
   the defaults are applied once more afterwards. It sees updates of spec or metadata, too, as
   `check` does.
2. `check` forbids what others do not allow, once the object is complete and valid.
3. `quotas.Ledger` comes last, within the writer: what is left of a quota depends on the writes that
   share a transaction.

Every way in passes here: the API, deploy events and controllers all prepare their writes by
`runtime.verbs`, and dry runs do the same. To add a step, write a module with a function of the
signature of `Admit` or `Check`, and name it in its list below.

Source of the order: Kubernetes, pkg/kubeapiserver/options/plugins.go (AllOrderedPlugins).
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

from orchestrator.core.admission import accounts, lifecycle, limits, priorities
from orchestrator.core.admission.cluster import Cluster
from proto.kinds.kind import Kind
from proto.meta import Resource

R = TypeVar("R", bound=Resource)

Check = Callable[[Kind[Any], Any, Any, Cluster], None]
"""A kind, the object as it is to be, and as it was (None: it is new). Raises Forbidden."""

Admit = Callable[[Kind[Any], Any, Any, Cluster], Any]
"""The same, with the object as it is asked for, after defaults; returns it completed."""

ADMITTING: Final[tuple[Admit, ...]] = (
    lifecycle.admit,
    accounts.admit,
    limits.admit,
    priorities.admit,
)

CHECKING: Final[tuple[Check, ...]] = (limits.check, priorities.check)

__all__ = ["ADMITTING", "CHECKING", "Cluster", "admit", "check"]


def admit(kind: Kind[R], new: R, old: R | None, cluster: Cluster) -> R:
    """An object as it is asked for, completed by what others say.

    Raises:
        NotFound: Its namespace does not exist.
        Forbidden: Others do not allow it.
    """
    for step in ADMITTING:
        new = step(kind, new, old, cluster)
    return new


def check(kind: Kind[R], new: R, old: R | None, cluster: Cluster) -> None:
    """Look at a complete object as it is to be stored.

    Raises:
        Forbidden: Others do not allow it.
    """
    for step in CHECKING:
        step(kind, new, old, cluster)
