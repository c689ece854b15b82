"""`longshore rollout`: how a change comes to its pods."""

from typing import Annotated

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command, group
from orchestrator.cli.session import run
from orchestrator.cli.where import Where


def declare(app: typer.Typer) -> None:
    """Add them."""
    rollout = group(
        "See, undo, repeat and hold rollouts.",
        examples="longshore rollout status deploy/web\nlongshore rollout undo deploy/web",
    )
    for function, examples in (
        (status, "longshore rollout status deployment/web --timeout=2m"),
        (
            history,
            """
            longshore rollout history deployment/web
            longshore rollout history deployment/web --revision=2""",
        ),
        (
            undo,
            """
            longshore rollout undo deployment/web
            longshore rollout undo deployment/web --to-revision=2""",
        ),
        (restart, "longshore rollout restart deployment/web"),
        (pause, "longshore rollout pause deployment/web"),
        (resume, "longshore rollout resume deployment/web"),
    ):
        command(rollout, examples=examples)(function)
    app.add_typer(rollout, name="rollout")


def status(
    at: Where,
    resources: shared.Words,
    *,
    watch: Annotated[
        bool, typer.Option("--watch/--no-watch", "-w", help="Until it is done.")
    ] = True,
    timeout: shared.TimeoutText = "",
    revision: Annotated[int, typer.Option(metavar="N", help="Only of that revision.")] = 0,
) -> None:
    """Follow a rollout until it is done; exit code 1 when it is stuck."""
    from orchestrator.cli.verbs import rollout as verb

    run(
        at,
        lambda session: verb.status(
            session, resources, is_watching=watch, timeout=timeout, revision=revision
        ),
    )


def history(
    at: Where,
    resources: shared.Words,
    *,
    revision: Annotated[int, typer.Option(metavar="N", help="Show that one whole.")] = 0,
) -> None:
    """List the revisions of a deployment."""
    from orchestrator.cli.verbs import rollout as verb

    run(at, lambda session: verb.history(session, resources, revision=revision))


def undo(
    at: Where,
    resources: shared.Words,
    *,
    to_revision: Annotated[
        int, typer.Option(metavar="N", help="Which; 0 is the one before this.")
    ] = 0,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Go back to an earlier revision."""
    from orchestrator.cli.verbs import rollout as verb
    from orchestrator.cli.verbs.results import Outcome

    outcome = Outcome(output=output, dry_run=dry_run)
    run(at, lambda session: verb.undo(session, resources, revision=to_revision, outcome=outcome))


def restart(
    at: Where,
    resources: shared.Words,
    *,
    selector: shared.Selector = "",
    output: shared.Output = "",
) -> None:
    """Replace all pods by new ones, as in a rollout."""
    from orchestrator.cli.verbs import rollout as verb
    from orchestrator.cli.verbs.change import Which
    from orchestrator.cli.verbs.results import Outcome

    which, outcome = Which(labels=selector), Outcome(output=output)
    run(at, lambda session: verb.restart(session, resources, which, outcome))


def pause(
    at: Where,
    resources: shared.Words,
    *,
    selector: shared.Selector = "",
    output: shared.Output = "",
) -> None:
    """Let further changes wait."""
    _pause(at, resources, selector, output, is_paused=True)


def resume(
    at: Where,
    resources: shared.Words,
    *,
    selector: shared.Selector = "",
    output: shared.Output = "",
) -> None:
    """Go on with what waits."""
    _pause(at, resources, selector, output, is_paused=False)


def _pause(at: Where, resources: list[str], selector: str, output: str, *, is_paused: bool) -> None:
    from orchestrator.cli.verbs import rollout as verb
    from orchestrator.cli.verbs.change import Which
    from orchestrator.cli.verbs.results import Outcome

    which, outcome = Which(labels=selector), Outcome(output=output)
    run(
        at,
        lambda session: verb.pause(session, resources, which, is_paused=is_paused, outcome=outcome),
    )
