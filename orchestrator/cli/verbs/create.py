"""`longshore create` and `run`: objects that are not there yet."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from orchestrator.cli.client import Json
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import Session
from orchestrator.cli.verbs.apply import placed
from orchestrator.cli.verbs.results import Outcome, each

MANAGER = "longshore-create"


async def create(session: Session, objects: Sequence[Json], outcome: Outcome) -> int | None:
    """Make each; one that is there already is an error."""
    outcome.check()

    async def act(manifest: Json) -> None:
        await created(session, manifest, outcome)

    return await each(session, objects, act)


async def created(session: Session, manifest: Json, outcome: Outcome) -> None:
    """Make one, and say so."""
    outcome.tell(session, await made(session, manifest, outcome), "created")


async def made(session: Session, manifest: Json, outcome: Outcome) -> Json:
    """Make one; returns it as the server keeps it."""
    types = await session.client.types()
    type = types.of_kind(manifest["apiVersion"], manifest["kind"])
    if not manifest.get("metadata", {}).get("generateName"):
        manifest = placed(session, type, manifest)
    if outcome.dry_run == "client":
        return manifest
    path = type.path(manifest["metadata"].get("namespace") or session.namespace)
    params = {"fieldManager": MANAGER, "fieldValidation": "Strict"} | outcome.params
    object: Json = await session.client.ask("POST", path, params=params, body=manifest)
    return object


def namespace(name: str) -> Json:
    """A Namespace."""
    return _object("v1", "Namespace", name)


def service_account(name: str) -> Json:
    """A ServiceAccount."""
    return _object("v1", "ServiceAccount", name)


def deployment(
    name: str, images: Sequence[str], *, replicas: int, port: int | None, command: Sequence[str]
) -> Json:
    """A Deployment whose pods have the label ``app``.

    Raises:
        Refused: Several images cannot share one command.
    """
    if command and len(images) > 1:
        raise Refused("cannot specify multiple --image options and command")
    labels = {"app": name}
    containers: list[Json] = []
    for image in images:
        container: Json = {"name": _container_name(image), "image": image}
        if port is not None:
            container["ports"] = [{"containerPort": port}]
        if command:
            container["command"] = list(command)
        containers.append(container)
    spec = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
    }
    return _object("apps/v1", "Deployment", name, labels) | {"spec": spec}


def job(name: str, image: str, command: Sequence[str]) -> Json:
    """A Job of one pod."""
    container: Json = {"name": name, "image": image}
    if command:
        container["command"] = list(command)
    template = {"spec": {"containers": [container], "restartPolicy": "Never"}}
    return _object("batch/v1", "Job", name) | {"spec": {"template": template}}


def config_map(name: str, literals: Sequence[str], files: Sequence[str]) -> Json:
    """A ConfigMap; files that are no UTF-8 become binaryData."""
    texts, binaries = {}, {}
    for key, content in _data(literals, files).items():
        try:
            texts[key] = content.decode()
        except UnicodeDecodeError:
            binaries[key] = base64.b64encode(content).decode()
    made = _object("v1", "ConfigMap", name)
    return (
        made | ({"data": texts} if texts else {}) | ({"binaryData": binaries} if binaries else {})
    )


def secret(name: str, literals: Sequence[str], files: Sequence[str], *, type: str) -> Json:
    """A Secret."""
    data = {
        key: base64.b64encode(content).decode() for key, content in _data(literals, files).items()
    }
    kind = {"type": type} if type else {}
    return _object("v1", "Secret", name) | kind | ({"data": data} if data else {})


class RunOptions(Struct, frozen=True, kw_only=True):
    """The one container of a pod.

    Attributes:
        is_command: `args` replace the image's entry point instead of its arguments.
    """

    image: str
    args: tuple[str, ...] = ()
    is_command: bool = False
    env: tuple[str, ...] = ()
    labels: str = ""
    port: int | None = None
    restart: str = "Always"
    has_stdin: bool = False
    has_tty: bool = False
    pull: str = ""
    grace_s: int | None = None


def pod(name: str, options: RunOptions) -> Json:
    """A Pod of one container.

    Raises:
        Refused: An option is wrong.
    """
    if options.restart not in ("Always", "OnFailure", "Never"):
        raise Refused(f"invalid restart policy: {options.restart}", hint="Always, OnFailure, Never")
    container: Json = {"name": name, "image": options.image}
    if options.args:
        container["command" if options.is_command else "args"] = list(options.args)
    if options.env:
        container["env"] = [
            {"name": key, "value": value} for key, value in pairs(options.env, "--env").items()
        ]
    if options.port is not None:
        container["ports"] = [{"containerPort": options.port}]
    if options.pull:
        container["imagePullPolicy"] = options.pull
    if options.has_stdin:
        container |= {"stdin": True, "stdinOnce": True}
    if options.has_tty:
        container["tty"] = True
    labels = pairs(options.labels.split(","), "--labels") if options.labels else {"run": name}
    spec: Json = {"containers": [container], "restartPolicy": options.restart}
    if options.grace_s is not None:
        spec["terminationGracePeriodSeconds"] = options.grace_s
    return _object("v1", "Pod", name, labels) | {"spec": spec}


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """``KEY=VALUE`` each.

    Raises:
        Refused: One is not.
    """
    found = {}
    for pair in given:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise Refused(f"{option} {pair!r} is not KEY=VALUE")
        found[key] = value
    return found


def _object(
    api_version: str, kind: str, name: str, labels: Mapping[str, str] | None = None
) -> Json:
    metadata: Json = {"name": name} | ({"labels": dict(labels)} if labels else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _data(literals: Sequence[str], files: Sequence[str]) -> dict[str, bytes]:
    """By key: literals, files (``KEY=FILE`` or the file's name), and what is in folders."""
    found = {key: value.encode() for key, value in pairs(literals, "--from-literal").items()}
    for given in files:
        key, equals, name = given.partition("=")
        path = Path(name if equals else given)
        try:
            inside = sorted(path.iterdir()) if path.is_dir() and not equals else [path]
            for file in inside:
                if file.is_file():
                    found[key if equals else file.name] = file.read_bytes()
                elif file == path:
                    raise Refused(f"{path} is no file")
        except OSError as error:
            raise Refused(f"{path} cannot be read: {error.strerror}") from None
    return found


def _container_name(image: str) -> str:
    """Source: kubectl create deployment: the last part of the path, without tag and digest."""
    last = image.rpartition("/")[2].partition("@")[0].partition(":")[0]
    return "".join(letter if letter.isalnum() else "-" for letter in last.lower()).strip("-")
