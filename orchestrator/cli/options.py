"""Options that several commands share, spelled as kubectl spells them."""

from typing import Annotated

import typer

from orchestrator.cli import completion

Resources = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="TYPE [NAME] | TYPE/NAME",
        show_default=False,
        autocompletion=completion.resources,
        help="For example: pods, pod web, deploy/web, pods,services, all.",
    ),
]
Selector = Annotated[
    str,
    typer.Option(
        "--selector", "-l", metavar="QUERY", help="Only with these labels: app=web,tier!=test."
    ),
]
FieldSelector = Annotated[
    str,
    typer.Option(metavar="QUERY", help="Only with these fields: status.phase=Running."),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")]
All = Annotated[bool, typer.Option("--all", help="All of that kind.")]
Filenames = Annotated[
    list[str] | None,
    typer.Option(
        "--filename",
        "-f",
        metavar="FILE",
        show_default=False,
        help="Manifests: a file, a folder, a URL, or - for standard input. May be repeated.",
    ),
]
Recursive = Annotated[
    bool, typer.Option("--recursive", "-R", help="Folders below those of -f, too.")
]
Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FORMAT",
        help="json, yaml, name, wide, jsonpath=TEMPLATE or custom-columns=NAME:PATH,...",
    ),
]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Go on with what changes.")]
Container = Annotated[
    str,
    typer.Option(
        "--container", "-c", metavar="NAME", help="Of which container, where a pod has several."
    ),
]
DryRun = Annotated[
    str,
    typer.Option(
        metavar="none|server|client", help="server: check it there, change nothing; client: print."
    ),
]
TimeoutText = Annotated[
    str, typer.Option("--timeout", metavar="DURATION", help="Give up after that: 30s, 5m.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite/--no-overwrite", help="Also where there is a value already.")
]
Words = Annotated[
    list[str],
    typer.Argument(
        metavar="TYPE NAME | TYPE/NAME",
        show_default=False,
        autocompletion=completion.resources,
        help="Which objects, for example: deployment web, deploy/web, pods -l app=web.",
    ),
]
Pod = Annotated[
    str,
    typer.Argument(
        metavar="POD | TYPE/NAME",
        show_default=False,
        autocompletion=completion.pods,
        help="A pod, or what has pods: deploy/web, svc/web.",
    ),
]
Nodes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NODE", show_default=False, autocompletion=completion.nodes, help="Which."
    ),
]
Stdin = Annotated[bool, typer.Option("--stdin", "-i", help="Pass standard input on.")]
Tty = Annotated[bool, typer.Option("--tty", "-t", help="With a terminal.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only what the program prints.")]
Grace = Annotated[
    int | None,
    typer.Option("--grace-period", metavar="SECONDS", show_default=False, help="To end in."),
]
