"""Every bus subject; nobody else spells one.

``longshore.v1.<noun>…``: product, version of the messages, then who and what. A node's or object's
name becomes one token: names may hold dots but never underscores, so dots become underscores.
"""

PREFIX = "longshore.v1"
ANY = "*"
"""Pass it as a name to subscribe to all of them."""

DEPLOY_STREAM = "LONGSHORE_DEPLOY"
"""JetStream stream that keeps deploy events until the leader has committed them."""


def _token(name: str) -> str:
    return name.replace(".", "_")


def assignment(node: str) -> str:
    """Control plane to agent: `messages.Assignment`."""
    return f"{PREFIX}.node.{_token(node)}.assignment"


def report_request(node: str) -> str:
    """Control plane to agent: `messages.ReportRequest`."""
    return f"{PREFIX}.node.{_token(node)}.report-request"


def probe(node: str) -> str:
    """Control plane to agent, with reply: `messages.ProbeRequest`."""
    return f"{PREFIX}.node.{_token(node)}.probe"


def content(node: str) -> str:
    """Agent to control plane, with reply: `messages.ContentRequest`."""
    return f"{PREFIX}.node.{_token(node)}.content"


def open_stream(node: str) -> str:
    """Control plane to agent, with reply: `messages.StreamRequest`."""
    return f"{PREFIX}.node.{_token(node)}.open-stream"


def heartbeat(node: str) -> str:
    """Agent to control plane: `messages.Heartbeat`."""
    return f"{PREFIX}.node.{_token(node)}.heartbeat"


def report(node: str) -> str:
    """Agent to control plane: `messages.NodeReport`."""
    return f"{PREFIX}.node.{_token(node)}.report"


def usage(node: str) -> str:
    """Agent to control plane: `messages.NodeUsage`."""
    return f"{PREFIX}.node.{_token(node)}.usage"


def node_event(node: str) -> str:
    """Agent to control plane: `messages.NodeEvent`."""
    return f"{PREFIX}.node.{_token(node)}.event"


def stream_from_node(stream: str) -> str:
    """Agent to whoever opened the stream: `frames.Frame`."""
    return f"{PREFIX}.stream.{stream}.from-node"


def stream_to_node(stream: str) -> str:
    """Whoever opened the stream to the agent: `frames.Frame`."""
    return f"{PREFIX}.stream.{stream}.to-node"


def deploy(namespace: str) -> str:
    """Anyone to control plane: a manifest, YAML or JSON; answered with `messages.DeployOutcome`."""
    return f"{PREFIX}.deploy.{namespace}"


def deploy_rejected(namespace: str) -> str:
    """Control plane to anyone: the rejected manifest, the reason in the header Longshore-Reason."""
    return f"{PREFIX}.deploy-rejected.{_token(namespace)}"


def event(kind: str, namespace: str, name: str, what: str) -> str:
    """Control plane to anyone, a CloudEvent: ``longshore.v1.event.pod.default.web-x.bound``.

    Cluster-scoped objects have the namespace ``_``.
    """
    return f"{PREFIX}.event.{kind}.{namespace or '_'}.{_token(name)}.{what}"


def node_of(subject: str) -> str:
    """The node a subject speaks of: its third token, dots restored."""
    return subject.split(".")[3].replace("_", ".")


def namespace_of_deploy(subject: str) -> str:
    """The namespace a deploy event was published for."""
    return subject.removeprefix(f"{PREFIX}.deploy.")
