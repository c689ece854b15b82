"""`longshore create` and its generators, and `run`."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command, group
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import refused, run as work
from orchestrator.cli.where import Where

SHORT = {"namespace": "ns", "deployment": "deploy", "configmap": "cm", "serviceaccount": "sa"}

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Its name.")]
Args = Annotated[
    list[str] | None,
    typer.Argument(metavar="-- COMMAND", show_default=False, help="What it runs."),
]
Images = Annotated[
    list[str], typer.Option("--image", metavar="IMAGE", help="One for each container.")
]
Literals = Annotated[
    list[str] | None,
    typer.Option("--from-literal", metavar="KEY=VALUE", show_default=False, help="A value."),
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--from-file", metavar="[KEY=]FILE", show_default=False, help="A file, or a folder of them."
    ),
]

Port = Annotated[
    int | None, typer.Option(min=1, max=65535, show_default=False, help="It listens on.")
]
IsCommand = Annotated[
    bool, typer.Option("--command", help="What follows -- replaces the image's entry point.")
]
Env = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="KEY=VALUE", show_default=False, help="Environment."),
]
Labels = Annotated[
    str, typer.Option("--labels", "-l", metavar="KEY=VALUE,...", help="Instead of run=NAME.")
]
PullPolicy = Annotated[str, typer.Option(metavar="POLICY", help="Always, IfNotPresent or Never.")]


def declare(app: typer.Typer) -> None:
    """Add them."""
    create_app = group(
        "Create objects: from manifests with -f, or one of the kinds below.",
        examples="longshore create -f web.yaml\nlongshore create namespace team-a",
        is_command=True,
    )
    create_app.callback()(create)
    for function, name, examples in (
        (namespace, "namespace", "longshore create namespace team-a"),
        (
            deployment,
            "deployment",
            """
            longshore create deployment web --image=nginx --replicas=3 --port=80
            longshore create deployment idle --image=busybox -- sleep 3600""",
        ),
        (job, "job", "longshore create job once --image=busybox -- echo done"),
        (
            configmap,
            "configmap",
            "longshore create configmap settings --from-literal=mode=fast --from-file=app.conf",
        ),
        (serviceaccount, "serviceaccount", "longshore create serviceaccount robot"),
    ):
        command(create_app, name, examples=examples)(function)
        if short := SHORT.get(name):
            command(create_app, short, examples=examples, hidden=True)(function)
    secret_app = group(
        "Create a secret.", examples="longshore create secret generic login --from-file=password"
    )
    command(
        secret_app,
        "generic",
        examples="longshore create secret generic login --from-literal=password=s3cret",
    )(secret)
    create_app.add_typer(secret_app, name="secret")
    app.add_typer(create_app, name="create")
    command(
        app,
        examples="""
        longshore run web --image=nginx --port=80
        longshore run -it --rm shell --image=busybox --restart=Never -- sh""",
    )(run)


def create(
    ctx: typer.Context,
    *,
    files: shared.Filenames = None,
    recursive: shared.Recursive = False,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Create objects: from manifests with -f, or one of the kinds below."""
    if ctx.invoked_subcommand:
        return
    from orchestrator.cli.verbs import create as verb, manifests
    from orchestrator.cli.verbs.results import Outcome

    outcome = Outcome(output=output, dry_run=dry_run)
    if not files:
        refused(
            Refused("must specify one of -f", hint="-f FILE; or a kind: longshore create --help")
        )
    at = ctx.find_root().obj or Where()
    work(
        at,
        lambda session: verb.create(
            session, manifests.read(files or [], is_recursive=recursive), outcome
        ),
    )


def namespace(
    at: Where, name: Name, *, dry_run: shared.DryRun = "none", output: shared.Output = ""
) -> None:
    """Create a namespace."""
    from orchestrator.cli.verbs import create as verb

    _create(at, lambda: verb.namespace(name), dry_run, output)


def serviceaccount(
    at: Where, name: Name, *, dry_run: shared.DryRun = "none", output: shared.Output = ""
) -> None:
    """Create a service account."""
    from orchestrator.cli.verbs import create as verb

    _create(at, lambda: verb.service_account(name), dry_run, output)


def deployment(
    at: Where,
    name: Name,
    args: Args = None,
    *,
    image: Images,
    replicas: Annotated[int, typer.Option("--replicas", "-r", min=0, help="How many pods.")] = 1,
    port: Port = None,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Create a deployment."""
    from orchestrator.cli.verbs import create as verb

    _create(
        at,
        lambda: verb.deployment(name, image, replicas=replicas, port=port, command=args or ()),
        dry_run,
        output,
    )


def job(
    at: Where,
    name: Name,
    args: Args = None,
    *,
    image: Annotated[str, typer.Option("--image", metavar="IMAGE", help="What runs.")],
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Create a job."""
    from orchestrator.cli.verbs import create as verb

    _create(at, lambda: verb.job(name, image, args or ()), dry_run, output)


def configmap(
    at: Where,
    name: Name,
    *,
    from_literal: Literals = None,
    from_file: Files = None,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Create a config map of values and files."""
    from orchestrator.cli.verbs import create as verb

    _create(at, lambda: verb.config_map(name, from_literal or (), from_file or ()), dry_run, output)


def secret(
    at: Where,
    name: Name,
    *,
    from_literal: Literals = None,
    from_file: Files = None,
    type: Annotated[str, typer.Option(metavar="TYPE", help="Opaque, unless given.")] = "",
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Create a secret of values and files."""
    from orchestrator.cli.verbs import create as verb

    _create(
        at,
        lambda: verb.secret(name, from_literal or (), from_file or (), type=type),
        dry_run,
        output,
    )


def run(
    at: Where,
    name: Name,
    args: Args = None,
    *,
    image: Annotated[str, typer.Option("--image", metavar="IMAGE", help="What runs.")],
    command_is_given: IsCommand = False,
    env: Env = None,
    labels: Labels = "",
    port: Port = None,
    restart: Annotated[
        str, typer.Option(metavar="Always|OnFailure|Never", help="When it has ended.")
    ] = "Always",
    image_pull_policy: PullPolicy = "",
    stdin: shared.Stdin = False,
    tty: shared.Tty = False,
    attach: Annotated[bool, typer.Option("--attach", help="Show what it writes.")] = False,
    rm: Annotated[bool, typer.Option("--rm", help="Delete it when it has ended.")] = False,
    quiet: shared.Quiet = False,
    grace_period: shared.Grace = None,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Run one container as a pod; with -i, talk to it until it ends."""
    from orchestrator.cli.verbs import create as verb, running
    from orchestrator.cli.verbs.results import Outcome

    if rm and not (attach or stdin):
        refused(Refused("--rm should only be used for attached containers", hint="add -i or -it"))
    options = verb.RunOptions(
        image=image,
        args=tuple(args or ()),
        is_command=command_is_given,
        env=tuple(env or ()),
        labels=labels,
        port=port,
        restart=restart,
        has_stdin=stdin,
        has_tty=tty,
        pull=image_pull_policy,
        grace_s=grace_period,
    )
    work(
        at,
        lambda session: running.run(
            session,
            verb.pod(name, options),
            Outcome(output=output, dry_run=dry_run),
            running.Attachment(
                is_attached=attach or stdin,
                has_stdin=stdin,
                has_tty=tty,
                is_removed=rm,
                is_quiet=quiet,
            ),
        ),
    )


def _create(at: Where, make: Callable[[], dict[str, Any]], dry_run: str, output: str) -> None:
    from orchestrator.cli.verbs import create as verb
    from orchestrator.cli.verbs.results import Outcome

    outcome = Outcome(output=output, dry_run=dry_run)
    work(at, lambda session: verb.create(session, [make()], outcome))
