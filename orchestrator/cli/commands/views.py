"""Commands that kubectl does not have: what is wrong, why, and a rollout as it goes."""

from typing import Annotated

import typer

from orchestrator.cli import completion, options as shared
from orchestrator.cli.declare import command
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import refused, run
from orchestrator.cli.where import Where


def declare(app: typer.Typer) -> None:
    """Add them."""
    command(
        app,
        examples="""
        longshore why web-7d9f-x2x4k
        longshore why deploy/web -n shop
        longshore why node/node-2
        longshore why web -o json""",
    )(why)
    command(
        app,
        examples="""
        longshore status
        longshore status --watch
        longshore status -o json
        longshore status > /dev/null || echo something is wrong""",
    )(status)
    command(
        app,
        examples="""
        longshore deploy registry.local/shop/web:2
        longshore deploy web:2 --replicas 3 --port 80 --env LOG=debug
        longshore deploy busybox:1 --name idle -- sleep 3600
        longshore deploy -f web.yaml --timeout 2m""",
    )(deploy)
    command(
        app,
        examples="""
        longshore ui
        longshore ui --port 9000 --no-open""",
    )(ui)


Named = Annotated[
    list[str],
    typer.Argument(
        metavar="POD | TYPE/NAME...",
        show_default=False,
        autocompletion=completion.pods,
        help="A pod, or deploy/web, node/node-1, job/import, ns/shop…",
    ),
]
DocumentOutput = Annotated[
    str, typer.Option("--output", "-o", metavar="FORMAT", help="json or yaml.")
]


def why(at: Where, names: Named, *, output: DocumentOutput = "") -> None:
    """Why a pod is pending, restarting, not ready or gone, or a node lost: in words.

    Says what is so, what shows it (events, exit codes, the scheduler's reasons node by node, the
    last lines of a log), and what to type next. Exit code 0 also where something is wrong.
    """
    from orchestrator.cli.verbs.why import why as explain

    run(at, lambda session: explain(session, names, output))


def status(at: Where, *, watch: shared.Watch = False, output: DocumentOutput = "") -> None:
    """The cluster at a glance, and what is wrong with it now.

    Nodes (what pods asked for, of what there is, and what is in use where that is measured),
    workloads, problems with the command that explains each, recent warnings.

    Exit code 0 when all is well, 1 when something is wrong, or nothing answers.
    """
    from orchestrator.cli.verbs.status import status as show

    run(at, lambda session: show(session, output=output, is_watching=watch))


Image = Annotated[str, typer.Argument(metavar="[IMAGE]", show_default=False, help="What to run.")]
Arguments = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND...]", show_default=False, help="Instead of the image's own."
    ),
]
Name = Annotated[
    str,
    typer.Option(metavar="NAME", show_default="the image's", help="Of the deployment, new or not."),
]
Replicas = Annotated[
    int | None,
    typer.Option(min=0, metavar="N", show_default="as they are, or 1", help="How many pods."),
]
ContainerPort = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, metavar="PORT", show_default=False, help="Where its containers listen."
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", show_default=False, help="May be repeated."),
]


def deploy(
    at: Where,
    image: Image = "",
    command: Arguments = None,
    *,
    files: shared.Filenames = None,
    recursive: shared.Recursive = False,
    name: Name = "",
    replicas: Replicas = None,
    port: ContainerPort = None,
    env: Env = None,
    force_conflicts: Annotated[
        bool,
        typer.Option("--force-conflicts", help="With -f: take over fields that others own."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Show the rollout until it ends.")
    ] = True,
    timeout: shared.TimeoutText = "",
) -> None:
    """Apply a deployment of an image, or manifests, and show the rollout as it goes.

    A deployment of that name that exists gets the new image and what else is given; all else stays
    as it is. Fields are applied on the server, as field manager longshore.

    Exit code 0 when all is rolled out; 1 when it made no progress until its deadline
    (progressDeadlineSeconds) or --timeout, with the reason and what to type next. Ctrl-C stops
    watching, not the rollout.
    """
    from orchestrator.cli.image_manifest import ImageOptions
    from orchestrator.cli.verbs.deploy import DeployOptions, deploy as verb

    if bool(image) == bool(files):
        refused(
            Refused("deploy takes an image, or manifests with -f", hint="longshore deploy IMAGE")
        )
    asked = ImageOptions(
        image=image,
        name=name,
        replicas=replicas,
        port=port,
        env=tuple(env or ()),
        command=tuple(command or ()),
    )
    options = DeployOptions(
        image=asked if image else None,
        files=tuple(files or ()),
        is_recursive=recursive,
        is_forced=force_conflicts,
        is_waiting=wait,
        timeout=timeout,
    )
    run(at, lambda session: verb(session, options))


def ui(
    at: Where,
    *,
    port: Annotated[
        int,
        typer.Option(min=0, max=65535, metavar="PORT", help="On 127.0.0.1; 0 for any free one."),
    ] = 8001,
    open_: Annotated[
        bool, typer.Option("--open/--no-open", help="Start a browser with the page.")
    ] = True,
) -> None:
    """A page that shows the cluster as it changes, on this machine only.

    Overview, nodes with their pods, workloads, logs and events, and beside whatever is wrong what
    `longshore why` says of it. The page reads with your credentials and changes nothing; requests
    of other sites' pages, and for anything that runs something, are refused.
    """
    from orchestrator.cli.verbs.ui import ui as show

    run(at, lambda session: show(session, port=port, is_opened=open_))
