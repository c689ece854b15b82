"""Commands that take manifests: apply, create, diff, delete, edit."""

from typing import Annotated

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import refused, run
from orchestrator.cli.where import Where

ForceConflicts = Annotated[
    bool, typer.Option("--force-conflicts", help="Take over fields that others own.")
]
FieldManager = Annotated[str, typer.Option(metavar="NAME", help="Whose the fields are.")]
Validate = Annotated[
    str, typer.Option(metavar="strict|warn|ignore", help="What an unknown field is.")
]


def declare(app: typer.Typer) -> None:
    """Add them."""
    command(
        app,
        examples="""
        longshore apply -f web.yaml
        longshore apply -f manifests/ --dry-run=server
        cat web.yaml | longshore apply -f -
        longshore apply -f web.yaml --force-conflicts""",
    )(apply)
    command(
        app,
        examples="""
        longshore diff -f web.yaml""",
    )(diff)
    command(
        app,
        examples="""
        longshore delete deployment web
        longshore delete -f web.yaml
        longshore delete pods -l app=web
        longshore delete pod web --grace-period=5 --wait=false""",
    )(delete)
    command(
        app,
        examples="""
        longshore edit deployment web
        EDITOR=nano longshore edit svc/web""",
    )(edit)


def apply(
    at: Where,
    *,
    files: shared.Filenames = None,
    recursive: shared.Recursive = False,
    force_conflicts: ForceConflicts = False,
    field_manager: FieldManager = "longshore",
    validate: Validate = "strict",
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
    server_side: Annotated[
        bool, typer.Option("--server-side/--no-server-side", help="As always; for kubectl's users.")
    ] = True,
) -> None:
    """Make objects as manifests say, new ones and old ones; what they do not say is left alone.

    Who set a field owns it: two who want different values have a conflict, which is told.
    """
    from orchestrator.cli.verbs import apply as verb, manifests
    from orchestrator.cli.verbs.results import Outcome

    if not server_side:
        refused(
            Refused("only server-side apply is done here", hint="leave --server-side=false out")
        )
    options = verb.ApplyOptions(
        outcome=Outcome(output=output, dry_run=dry_run),
        is_forced=force_conflicts,
        manager=field_manager,
        validate=validate,
    )
    run(
        at,
        lambda session: verb.apply(
            session, manifests.read(_given(files), is_recursive=recursive), options
        ),
    )


def diff(
    at: Where,
    *,
    files: shared.Filenames = None,
    recursive: shared.Recursive = False,
    force_conflicts: ForceConflicts = False,
    field_manager: FieldManager = "longshore",
) -> None:
    """Show what an apply would change. Exit code 0: nothing, 1: something, more: an error."""
    from orchestrator.cli.verbs import apply as verb, manifests
    from orchestrator.cli.verbs.results import Outcome

    options = verb.ApplyOptions(
        outcome=Outcome(dry_run="server"), is_forced=force_conflicts, manager=field_manager
    )
    run(
        at,
        lambda session: verb.diff(
            session, manifests.read(_given(files), is_recursive=recursive), options
        ),
        failure=2,
    )


def delete(
    at: Where,
    resources: shared.Resources = None,
    *,
    files: shared.Filenames = None,
    recursive: shared.Recursive = False,
    selector: shared.Selector = "",
    field_selector: shared.FieldSelector = "",
    all: shared.All = False,
    all_namespaces: shared.AllNamespaces = False,
    grace_period: shared.Grace = None,
    now: Annotated[bool, typer.Option("--now", help="As --grace-period=1.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for the node to have ended it.")
    ] = False,
    cascade: Annotated[
        str,
        typer.Option(metavar="background|foreground|orphan", help="What becomes of what it owns."),
    ] = "background",
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until it is gone.")] = True,
    timeout: shared.TimeoutText = "",
    ignore_not_found: Annotated[
        bool, typer.Option("--ignore-not-found", help="What is not there is no error.")
    ] = False,
    dry_run: shared.DryRun = "none",
    output: Annotated[str, typer.Option("--output", "-o", metavar="name", help="Names only.")] = "",
) -> None:
    """Delete objects, by name, by label or by manifest, and wait until they are gone."""
    from orchestrator.cli.verbs.delete import DeleteOptions, delete as verb

    options = DeleteOptions(
        labels=selector,
        fields=field_selector,
        is_all=all,
        is_everywhere=all_namespaces,
        files=tuple(files or ()),
        is_recursive=recursive,
        grace_s=1 if now else grace_period,
        is_forced=force,
        cascade=cascade,
        waits=wait,
        timeout=timeout,
        ignores_absent=ignore_not_found or all,
        output=output,
        dry_run=dry_run,
    )
    run(at, lambda session: verb(session, resources or [], options))


def edit(
    at: Where,
    resources: shared.Resources = None,
    *,
    files: shared.Filenames = None,
    output: shared.Output = "",
) -> None:
    """Change objects in your editor ($EDITOR); what is refused is opened again, with the reason."""
    from orchestrator.cli.verbs import edit as verb
    from orchestrator.cli.verbs.change import Which
    from orchestrator.cli.verbs.results import Outcome

    which, outcome = Which(files=tuple(files or ())), Outcome(output=output)
    run(at, lambda session: verb.edit(session, resources or [], which, outcome))


def _given(files: list[str] | None) -> list[str]:
    if not files:
        raise Refused("must specify one of -f", hint="-f FILE, -f FOLDER, -f URL or -f -")
    return files
