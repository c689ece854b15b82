"""What travels on the bus: whole states, never deltas.

Every message may be lost, doubled, late or overtaken. A receiver keeps the newest by its own fence
and asks for the whole state again when a heartbeat shows that it missed one:

* `Assignment` is fenced by ``(epoch, generation)``: the epoch is a leader's term, the generation
  the version of the world it was computed from. An agent refuses anything older.
* `NodeReport` is fenced by ``(incarnation, version)``: the incarnation is one run of the agent (its
  start in epoch milliseconds), the version counts its reports. `NodeUsage` likewise, with a count
  of its own; nobody asks for a lost one, since the next comes within a period.

Unknown fields are ignored, so that a newer peer can talk to an older one.
"""

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta, Struct

from proto.kinds.node import ContainerImage, NodeSystemInfo
from proto.kinds.pod import PodSpec, PodStatus
from proto.meta import Condition

TIME_MS_MAX = 253_402_300_799_999
"""The end of the year 9999, epoch milliseconds: later times have no RFC 3339 text."""


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of everything on the bus."""


class AssignedSource(Message, frozen=True, kw_only=True):
    """A ConfigMap or a Secret that a pod takes values from.

    Attributes:
        kind: ``ConfigMap`` or ``Secret``.
        version: Its resourceVersion; empty: there is none of that name.
    """

    kind: str
    name: str
    version: str = ""


class StoredVolume(Message, frozen=True, kw_only=True):
    """What a node keeps for a PersistentVolume: a folder of the agent's, or a volume of Docker's.

    Attributes:
        name: The PersistentVolume's.
        is_ours: Whether it was made for a claim, and so is removed with the PersistentVolume.
        handle: What Docker calls it; empty: it is a folder.
        driver: Of Docker's; `options` are that driver's.
    """

    name: str
    is_ours: bool = True
    handle: str = ""
    driver: str = ""
    options: Mapping[str, str] = {}


class VolumeRemoval(Message, frozen=True, kw_only=True):
    """A PersistentVolume of which nothing is to be left on the node."""

    name: str
    uid: str


class AssignedClaim(Message, frozen=True, kw_only=True):
    """What a pod's claim stands for on its node.

    Attributes:
        name: The claim's.
        path: A path of the node that somebody else made; empty: see `stored`.
        type: What must be there; see `HostPathVolumeSource.type`.
        stored: What the agent makes, if it is not there.
        is_read_only: Whether it may only be read.
    """

    name: str
    path: str = ""
    type: str = ""
    stored: StoredVolume | None = None
    is_read_only: bool = False


class AssignedPod(Message, frozen=True, kw_only=True):
    """One pod that a node should run, or finish.

    Attributes:
        delete_grace_s: Seconds between SIGTERM and SIGKILL once the pod is being deleted; None
            while it should run.
        sources: What its containers and volumes take values from. An agent asks for the contents
            that it has not in that version: see `ContentRequest`.
        claims: Those of its claims that have a volume.
    """

    uid: str
    namespace: str
    name: str
    spec: PodSpec
    labels: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    delete_grace_s: int | None = None
    sources: tuple[AssignedSource, ...] = ()
    claims: tuple[AssignedClaim, ...] = ()


class Assignment(Message, frozen=True, kw_only=True):
    """Everything one node should run. A pod that is not in it must go.

    Attributes:
        removals: Stored volumes that must go. All others stay, whether or not a pod has them.
    """

    node: str
    epoch: int
    generation: int
    pods: tuple[AssignedPod, ...] = ()
    removals: tuple[VolumeRemoval, ...] = ()


class Heartbeat(Message, frozen=True, kw_only=True):
    """An agent is alive; which assignment it follows and which report it sent last."""

    node: str
    incarnation: int
    epoch: int
    generation: int
    report_version: int


class PodReport(Message, frozen=True, kw_only=True):
    """One pod as its node sees it.

    Attributes:
        is_gone: Nothing of the pod is left on the node: its object may be deleted.
    """

    uid: str
    namespace: str
    name: str
    status: PodStatus
    is_gone: bool = False


class VolumeReport(Message, frozen=True, kw_only=True):
    """A stored volume that a node was told to remove.

    Attributes:
        name: The PersistentVolume's, and its `uid`.
        is_gone: Nothing of it is left on the node.
        error: Why it could not be removed when that was last tried.
    """

    name: str
    uid: str
    is_gone: bool = False
    error: str = ""


class NodeFacts(Message, frozen=True, kw_only=True):
    """What a host has.

    Attributes:
        capacity: Resource name to quantity text, the whole machine.
        allocatable: The same, for pods.
        probe_address: Where peers may try a TCP connection to tell a dead host from a dead agent;
            empty when silence alone must count as the loss of the host.
        engine_error: Why Docker does not answer; empty when it does.
        volumes_folder: Where the agent keeps stored volumes that are folders.
        is_shutting_down: The host goes off: the pods are being ended, or are.
        conditions: What the node is short of, and what not; empty before it was looked at.
    """

    capacity: Mapping[str, str] = {}
    allocatable: Mapping[str, str] = {}
    labels: Mapping[str, str] = {}
    internal_ip: str = ""
    probe_address: str = ""
    info: NodeSystemInfo = NodeSystemInfo()
    images: tuple[ContainerImage, ...] = ()
    engine_error: str = ""
    volumes_folder: str = ""
    is_shutting_down: bool = False
    conditions: tuple[Condition, ...] = ()


class NodeReport(Message, frozen=True, kw_only=True):
    """Everything an agent knows of its node and of the pods on it.

    Attributes:
        epoch: Of the assignment it follows; `generation` likewise. Pods that are newer than that
            are unknown to the agent, not gone.
        is_leaving: The agent is being stopped on purpose; its containers stay.
    """

    node: str
    incarnation: int
    version: int
    epoch: int
    generation: int
    facts: NodeFacts
    pods: tuple[PodReport, ...] = ()
    volumes: tuple[VolumeReport, ...] = ()
    is_leaving: bool = False


class ReportRequest(Message, frozen=True, kw_only=True):
    """The control plane asks an agent for its whole report."""

    epoch: int


class NodeEvent(Message, frozen=True, kw_only=True):
    """Something an agent did to a pod, for ``kubectl get events``. At most once, by design.

    Attributes:
        pod: Empty: it happened to the node.
        type: ``Normal`` or ``Warning``.
        at_ms: Epoch milliseconds.
        field_path: ``spec.containers{web}``, or empty for the pod as a whole.
        series: Events of one reason and series are one event, whose message is the last; empty:
            those of one message are.
    """

    node: str
    namespace: str
    pod: str
    pod_uid: str
    type: str
    reason: str
    message: str
    at_ms: Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
    field_path: str = ""
    series: str = ""


class Usage(Message, frozen=True, kw_only=True):
    """What something used of its machine.

    Attributes:
        at_ms: When it was measured, epoch milliseconds of the node's clock.
        window_ms: How long the CPU was watched until then.
        cpu_nano: Billionths of a core, on average over that time.
        memory_bytes: What could not be had back at once: page cache that nobody uses is left out.
    """

    at_ms: Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
    window_ms: Annotated[int, Meta(gt=0)]
    cpu_nano: Annotated[int, Meta(ge=0)]
    memory_bytes: Annotated[int, Meta(ge=0)]


class NodeUsage(Message, frozen=True, kw_only=True):
    """What a node uses, and the containers that run on it.

    Attributes:
        period_ms: The next one comes within so long, while the agent lives.
        total: The whole machine; None while it is not known.
        pods: By pod uid, then by container; who was not watched for long enough yet is missing.
    """

    node: str
    incarnation: int
    version: int
    period_ms: Annotated[int, Meta(gt=0)]
    total: Usage | None = None
    pods: Mapping[str, Mapping[str, Usage]] = {}


class ContentRequest(Message, frozen=True, kw_only=True):
    """An agent asks what a ConfigMap or a Secret holds, one piece at a time.

    Only objects that a pod bound to the node takes values from are told of, and the node is the one
    that the subject names: so permissions on subjects keep secrets from other nodes.

    Attributes:
        version: The resourceVersion that the agent was told of; an answer may be of a newer one.
        offset: In the bytes of the encoded `Content`.
    """

    kind: str
    namespace: str
    name: str
    version: str
    offset: Annotated[int, Meta(ge=0)] = 0


class Content(Message, frozen=True, kw_only=True):
    """What a ConfigMap or a Secret holds.

    Attributes:
        text: A ConfigMap's ``data``: the only part of it that variables can take values from.
        data: A ConfigMap's ``binaryData``, or a Secret's ``data``.
    """

    text: Mapping[str, str] = {}
    data: Mapping[str, bytes] = {}


class ContentPiece(Message, frozen=True, kw_only=True, tag="piece"):
    """A part of an encoded `Content`.

    Attributes:
        version: The object's resourceVersion: pieces of different ones do not fit together.
        size: Bytes of the whole.
        piece: At most `CONTENT_PIECE_BYTES_MAX`.
    """

    version: str
    size: int
    piece: bytes


class ContentRefused(Message, frozen=True, kw_only=True, tag="refused"):
    """There is no such object, or no pod of that node takes values from it."""

    reason: str


ContentReply = ContentPiece | ContentRefused

CONTENT_PIECE_BYTES_MAX = 360 * 1024
"""In base64 480 KiB: less than half of what NATS carries by default. The largest object, whose
bytes are in base64 once more, has four.
"""


class ProbeRequest(Message, frozen=True, kw_only=True):
    """A silent node's host: can you reach it?"""

    node: str
    address: str


class ProbeReply(Message, frozen=True, kw_only=True):
    """What the peer saw: a refused or accepted connection proves the host's kernel alive."""

    node: str
    by: str
    is_reachable: bool


class LogRequest(Message, frozen=True, kw_only=True, tag="log"):
    """A container's log. Both its outputs come on the channel STDOUT.

    Attributes:
        stream: Names the subjects of the stream (see `subjects`).
    """

    pod_uid: str
    container: str
    stream: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_ms: int | None = None
    limit_bytes: int | None = None


class ExecRequest(Message, frozen=True, kw_only=True, tag="exec"):
    """A program beside those of a container.

    Attributes:
        has_stdin: It gets an input; else it reads its end at once. The outputs likewise.
        is_tty: It gets a terminal; then there is no STDERR.
    """

    pod_uid: str
    container: str
    command: tuple[str, ...]
    stream: str = ""
    has_stdin: bool = False
    has_stdout: bool = False
    has_stderr: bool = False
    is_tty: bool = False


class AttachRequest(Message, frozen=True, kw_only=True, tag="attach"):
    """The input and the outputs of a container's own program, from now on."""

    pod_uid: str
    container: str
    stream: str = ""
    has_stdin: bool = False
    has_stdout: bool = False
    has_stderr: bool = False
    is_tty: bool = False


class ForwardRequest(Message, frozen=True, kw_only=True, tag="forward"):
    """One TCP connection to a pod: STDIN goes there, STDOUT comes from there."""

    pod_uid: str
    port: Annotated[int, Meta(ge=1, le=65_535)]
    stream: str = ""


StreamRequest = LogRequest | ExecRequest | AttachRequest | ForwardRequest
"""Opens a stream of `frames`; the agent answers with a `StreamReply`."""


class StreamStarted(Message, frozen=True, kw_only=True, tag="started"):
    """The stream runs."""


class StreamFailed(Message, frozen=True, kw_only=True, tag="failed"):
    """There will be no stream.

    Attributes:
        code: HTTP status the client should see.
    """

    code: int
    reason: str


StreamReply = StreamStarted | StreamFailed


class StreamOutcome(Message, frozen=True, kw_only=True):
    """How a stream ended.

    Attributes:
        exit_code: Of the program that was executed; None where there is none to tell.
        error: Why it ended before its time; empty when it did not.
    """

    exit_code: int | None = None
    error: str = ""


class TerminalSize(Message, frozen=True, kw_only=True, rename="pascal"):
    """In characters; spelled as kubectl spells it."""

    width: Annotated[int, Meta(ge=0, le=65_535)] = 0
    height: Annotated[int, Meta(ge=0, le=65_535)] = 0


class DeployOutcome(Message, frozen=True, kw_only=True):
    """What became of a published manifest, after its commit.

    Attributes:
        outcome: ``created``, ``configured``, ``unchanged`` or ``rejected``.
        objects: ``deployment.apps/web created`` and so on, in the manifest's order.
        reason: Why it was rejected, and what to do.
        warnings: Fields that Longshore does not act on and that are harmless to leave out.
        is_duplicate: This message id had been applied before; the outcome is that one's.
    """

    outcome: str
    objects: tuple[str, ...] = ()
    reason: str = ""
    warnings: tuple[str, ...] = ()
    is_duplicate: bool = False
