"""Which cluster the user asked for on the command line."""

from msgspec import Struct


class Where(Struct, frozen=True, kw_only=True):
    """The options that every command takes; empty ones were not given, see `connection`.

    Attributes:
        namespace: Overrides the context's.
    """

    server: str = ""
    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""

    def over(self, other: "Where") -> "Where":
        """These, and where they are empty the other's.

        >>> Where(namespace="a").over(Where(namespace="b", context="c"))
        Where(server='', kubeconfig='', context='c', namespace='a')
        """
        return Where(
            server=self.server or other.server,
            kubeconfig=self.kubeconfig or other.kubeconfig,
            context=self.context or other.context,
            namespace=self.namespace or other.namespace,
        )
