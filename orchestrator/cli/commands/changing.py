"""Commands that change what is there: scale, set, label, annotate, patch; and rollout."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli import options as shared
from orchestrator.cli.declare import command, group
from orchestrator.cli.refused import Refused
from orchestrator.cli.session import refused, run
from orchestrator.cli.where import Where

Changes = Annotated[
    list[str],
    typer.Argument(
        metavar="TYPE NAME KEY=VALUE KEY-",
        show_default=False,
        help="Which objects, and then what is set and what is removed.",
    ),
]


def declare(app: typer.Typer) -> None:
    """Add them."""
    command(
        app,
        examples="""
        longshore scale deployment web --replicas=5
        longshore scale deploy/web --current-replicas=2 --replicas=3""",
    )(scale)
    command(
        app,
        "label",
        examples="""
        longshore label pod web tier=front
        longshore label pods --all tier-
        longshore label deploy/web tier=back --overwrite""",
    )(_marking("labels"))
    command(
        app,
        "annotate",
        examples="""
        longshore annotate deploy/web kubernetes.io/change-cause='version 2'""",
    )(_marking("annotations"))
    command(
        app,
        examples="""
        longshore patch deploy web -p '{"spec": {"replicas": 2}}'
        longshore patch deploy web --type=json -p '[{"op": "remove", "path": "/spec/paused"}]'""",
    )(patch)
    set_app = group(
        "Set images and environment of what makes pods.",
        examples="longshore set image deploy/web web=nginx:1.27",
    )
    command(
        set_app,
        "image",
        examples="""
        longshore set image deployment/web web=nginx:1.27
        longshore set image deploy/web '*=nginx:1.27'""",
    )(set_image)
    command(
        set_app,
        "env",
        examples="""
        longshore set env deployment/web MODE=fast
        longshore set env deployment/web MODE-""",
    )(set_env)
    app.add_typer(set_app, name="set")


def scale(
    at: Where,
    resources: shared.Resources = None,
    *,
    replicas: Annotated[int, typer.Option("--replicas", min=0, metavar="N", help="How many.")],
    current_replicas: Annotated[
        int | None,
        typer.Option(metavar="N", show_default=False, help="Only when there are that many now."),
    ] = None,
    files: shared.Filenames = None,
    selector: shared.Selector = "",
    all: shared.All = False,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Change how many pods there should be."""
    from orchestrator.cli.verbs import change as verb
    from orchestrator.cli.verbs.results import Outcome

    which = verb.Which(files=tuple(files or ()), labels=selector, is_all=all)
    outcome = Outcome(output=output, dry_run=dry_run)
    run(
        at,
        lambda session: verb.scale(
            session,
            resources or [],
            which,
            replicas=replicas,
            current=current_replicas,
            outcome=outcome,
        ),
    )


def _marking(field: str) -> Callable[..., None]:
    """`label` or `annotate`: `field` is ``labels`` or ``annotations``."""

    def mark(
        at: Where,
        words: Changes,
        *,
        overwrite: shared.Overwrite = False,
        files: shared.Filenames = None,
        selector: shared.Selector = "",
        all: shared.All = False,
        all_namespaces: shared.AllNamespaces = False,
        dry_run: shared.DryRun = "none",
        output: shared.Output = "",
    ) -> None:
        from orchestrator.cli.verbs import change as verb
        from orchestrator.cli.verbs.results import Outcome

        which = verb.Which(
            files=tuple(files or ()), labels=selector, is_all=all, is_everywhere=all_namespaces
        )
        outcome = Outcome(output=output, dry_run=dry_run)
        run(
            at,
            lambda session: verb.mark(
                session, words, which, field=field, is_overwriting=overwrite, outcome=outcome
            ),
        )

    mark.__doc__ = f"Set {field}, and remove them."
    return mark


def patch(
    at: Where,
    resources: shared.Resources = None,
    *,
    patch: Annotated[
        str, typer.Option("--patch", "-p", metavar="PATCH", help="In JSON or YAML.")
    ] = "",
    patch_file: Annotated[str, typer.Option(metavar="FILE", help="Where it is written.")] = "",
    type: Annotated[
        str, typer.Option(metavar="strategic|merge|json", help="How it is meant.")
    ] = "strategic",
    subresource: Annotated[
        str, typer.Option(metavar="NAME", help="Of a subresource: status or scale.")
    ] = "",
    files: shared.Filenames = None,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Change fields of an object."""
    from orchestrator.cli.verbs import change as verb
    from orchestrator.cli.verbs.results import Outcome

    if bool(patch) == bool(patch_file):
        refused(Refused("must specify one of --patch and --patch-file", hint="-p PATCH"))
    try:
        text = patch or Path(patch_file).read_text(encoding="utf-8")
    except OSError as error:
        refused(Refused(f"{patch_file} cannot be read: {error.strerror}"))
    which, outcome = verb.Which(files=tuple(files or ())), Outcome(output=output, dry_run=dry_run)
    run(
        at,
        lambda session: verb.patch(
            session,
            resources or [],
            which,
            text=text,
            kind=type,
            subresource=subresource,
            outcome=outcome,
        ),
    )


def set_image(
    at: Where,
    words: Changes,
    *,
    selector: shared.Selector = "",
    all: shared.All = False,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Change the images of containers."""
    from orchestrator.cli.verbs import change as verb
    from orchestrator.cli.verbs.results import Outcome

    which, outcome = (
        verb.Which(labels=selector, is_all=all),
        Outcome(output=output, dry_run=dry_run),
    )
    run(at, lambda session: verb.set_images(session, words, which, outcome))


def set_env(
    at: Where,
    words: Changes,
    *,
    container: shared.Container = "",
    selector: shared.Selector = "",
    all: shared.All = False,
    dry_run: shared.DryRun = "none",
    output: shared.Output = "",
) -> None:
    """Change the environment of containers."""
    from orchestrator.cli.verbs import change as verb
    from orchestrator.cli.verbs.results import Outcome

    which, outcome = (
        verb.Which(labels=selector, is_all=all),
        Outcome(output=output, dry_run=dry_run),
    )
    run(at, lambda session: verb.set_env(session, words, which, container, outcome))
