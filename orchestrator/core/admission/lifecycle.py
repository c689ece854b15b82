"""Nothing new where everything goes: in a namespace, or of a declared kind, that is being deleted.

Source of the words: Kubernetes, apiserver's plugin namespace/lifecycle and apiextensions-apiserver.
"""

from orchestrator.core.admission.cluster import Cluster, R, forbidden
from proto.errors import Forbidden, NotFound
from proto.kinds.definition import DEFINITIONS
from proto.kinds.kind import Kind
from proto.kinds.namespace import NAMESPACES


def admit(kind: Kind[R], new: R, old: R | None, cluster: Cluster) -> R:
    """The object as it is.

    Raises:
        NotFound: Its namespace does not exist.
        Forbidden: Its namespace, or its kind, is being deleted.
    """
    if old is not None:
        return new
    if kind.schema is not None:
        definition = cluster.get(DEFINITIONS, "", kind.resource)
        if definition is None or definition.metadata.deletion_timestamp:
            raise Forbidden(
                f"create not allowed while custom resource definition {kind.resource} is "
                "terminating"
            )
    if kind.is_namespaced:
        name = new.metadata.namespace
        namespace = cluster.get(NAMESPACES, "", name)
        if namespace is None:
            raise NotFound(f'namespaces "{name}" not found')
        if namespace.metadata.deletion_timestamp:
            raise forbidden(
                kind,
                new,
                f"unable to create new content in namespace {name} because it is being terminated",
            )
    return new
