"""Commands for nodes: cordon, uncordon, drain, taint."""

from collections.abc import Callable
from typing import Annotated

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import refused, run
from orchestrator.cli.where import Where


def declare(app: typer.Typer) -> None:
    """Add them."""
    cordon = _cordoning("Let no further pods come to a node.", is_on=True)
    uncordon = _cordoning("Let pods come to a node again.", is_on=False)
    command(app, "cordon", examples="longshore cordon node-2")(cordon)
    command(app, "uncordon", examples="longshore uncordon node-2")(uncordon)
    command(
        app,
        examples="""
        longshore drain node-2
        longshore drain node-2 --force --delete-emptydir-data --timeout=5m""",
    )(drain)
    command(
        app,
        examples="""
        longshore taint nodes node-2 disk=slow:NoSchedule
        longshore taint nodes node-2 disk-""",
    )(taint)


def _cordoning(doc: str, *, is_on: bool) -> Callable[..., None]:
    """`cordon` or `uncordon`."""

    def cordon(
        at: Where,
        nodes: shared.Nodes = None,
        *,
        selector: shared.Selector = "",
        dry_run: shared.DryRun = "none",
    ) -> None:
        from orchestrator.cli.verbs import nodes as verb

        run(
            at,
            lambda session: verb.cordon(
                session, nodes or [], selector, is_on=is_on, dry_run=dry_run
            ),
        )

    cordon.__doc__ = doc
    return cordon


def drain(
    at: Where,
    nodes: shared.Nodes = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Pods that nothing will make again, too.")
    ] = False,
    ignore_daemonsets: Annotated[
        bool, typer.Option("--ignore-daemonsets", help="Leave the pods of DaemonSets.")
    ] = False,
    delete_emptydir_data: Annotated[
        bool, typer.Option("--delete-emptydir-data", help="Pods with local data, too.")
    ] = False,
    disable_eviction: Annotated[
        bool, typer.Option("--disable-eviction", help="Delete: disruption budgets do not count.")
    ] = False,
    grace_period: shared.Grace = None,
    timeout: shared.TimeoutText = "",
    selector: shared.Selector = "",
    pod_selector: Annotated[
        str, typer.Option(metavar="QUERY", help="Only pods with these labels.")
    ] = "",
    dry_run: shared.DryRun = "none",
) -> None:
    """Cordon a node and let its pods go elsewhere, as far as disruption budgets allow."""
    from orchestrator.cli.verbs import nodes as verb

    options = verb.DrainOptions(
        is_forced=force,
        ignores_daemon_sets=ignore_daemonsets,
        deletes_empty_dirs=delete_emptydir_data,
        grace_s=grace_period,
        timeout="" if timeout in ("0", "0s") else timeout,
        pods=pod_selector,
        evicts=not disable_eviction,
        dry_run=dry_run,
    )
    run(at, lambda session: verb.drain(session, nodes or [], selector, options))


def taint(
    at: Where,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="node NAME KEY=VALUE:EFFECT KEY-",
            show_default=False,
            help="Which nodes; and what is added, and removed.",
        ),
    ],
    *,
    overwrite: shared.Overwrite = False,
    selector: shared.Selector = "",
) -> None:
    """Add taints to nodes, and remove them."""
    from orchestrator.cli.verbs import nodes as verb

    kind, *rest = words
    if kind not in ("node", "nodes", "no"):
        refused(Refused(f"{kind}: only nodes can be tainted", hint="longshore taint nodes NAME …"))
    names = [word for word in rest if ":" not in word and not word.endswith("-")]
    taints = [word for word in rest if word not in names]
    if not taints:
        refused(Refused("at least one taint update is required", hint="KEY=VALUE:EFFECT or KEY-"))
    run(
        at,
        lambda session: verb.taint(
            session,
            names,
            selector,
            [verb.parse_taint(text) for text in taints],
            is_overwriting=overwrite,
        ),
    )
