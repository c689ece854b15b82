"""How the commands of `longshore` are declared: with kubectl's ways to write an option.

A command that talks to a cluster takes ``--server``, ``--kubeconfig``, ``--context`` and
``--namespace`` wherever they stand, before the verb or behind it.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Concatenate, ParamSpec

import typer
from typer.core import TyperCommand, TyperGroup

from orchestrator.cli import completion
from orchestrator.cli.where import Where

P = ParamSpec("P")

PANEL = "Which cluster"
Server = Annotated[str, typer.Option("--server", "-s", metavar="URL", help="The API's address.")]
Kubeconfig = Annotated[
    str, typer.Option(metavar="FILE", help="Where clusters and credentials are written down.")
]
Context = Annotated[
    str,
    typer.Option(metavar="NAME", autocompletion=completion.contexts, help="Of the kubeconfig."),
]
Namespace = Annotated[
    str,
    typer.Option(
        "--namespace",
        "-n",
        metavar="NAME",
        autocompletion=completion.namespaces,
        help="Where names are looked for; else the context's, else default.",
    ),
]
WHERE = {"server": Server, "kubeconfig": Kubeconfig, "context": Context, "namespace": Namespace}


class Command(TyperCommand):
    """Takes options as kubectl's users write them, and ends with 1 when one is wrong."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `normalized`."""
        with _wrong_use_is_1():
            return super().parse_args(ctx, list(normalized(args, self.params)))


class Group(TyperGroup):
    """Ends with 1 when there is no such command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As for a command."""
        with _wrong_use_is_1():
            return super().parse_args(ctx, list(normalized(args, self.params)))

    def invoke(self, ctx: Any) -> Any:
        """The command that is named."""
        with _wrong_use_is_1():
            return super().invoke(ctx)


@contextlib.contextmanager
def _wrong_use_is_1() -> Iterator[None]:
    """Wrong use ends with kubectl's 1 instead of click's 2; a program's own code is left alone."""
    try:
        yield
    except Exception as error:
        if hasattr(error, "format_message"):  # click's, wherever typer has it from
            error.exit_code = 1  # type: ignore[attr-defined]
        raise


def command(
    app: typer.Typer, name: str | None = None, *, examples: str, hidden: bool = False
) -> Callable[[Callable[Concatenate[Where, P], None]], Callable[Concatenate[Where, P], None]]:
    """Declare a command that talks to a cluster; its first argument says which.

    Args:
        app: Where it belongs.
        name: The function's, unless given.
        examples: One to a line.
        hidden: It is another name of one that is listed.
    """

    def declare(
        function: Callable[Concatenate[Where, P], None],
    ) -> Callable[Concatenate[Where, P], None]:
        @functools.wraps(function)
        def call(ctx: typer.Context, **options: Any) -> None:
            own = Where(**{word: options.pop(word) for word in WHERE})
            before = ctx.find_root().obj
            function(own.over(before) if isinstance(before, Where) else own, **options)  # type: ignore[call-arg]

        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]
        keyword = inspect.Parameter.KEYWORD_ONLY
        context = inspect.Parameter("ctx", keyword, annotation=typer.Context)
        parameters = [parameter.replace(kind=keyword) for parameter in parameters]
        where = [
            inspect.Parameter(word, keyword, default="", annotation=annotation)
            for word, annotation in WHERE.items()
        ]
        every = [context, *parameters, *where]
        call.__signature__ = signature.replace(parameters=every)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in every}
        app.command(name, cls=Command, epilog=epilog(examples), hidden=hidden)(call)
        return function

    return declare


def group(help: str, *, examples: str, is_command: bool = False) -> typer.Typer:
    """Declare a group of commands.

    Args:
        help: What they are about.
        examples: One to a line.
        is_command: It does something by itself, too: its callback.
    """
    return typer.Typer(
        cls=Group,
        help=help,
        epilog=epilog(examples),
        no_args_is_help=not is_command,
        invoke_without_command=is_command,
        rich_markup_mode=None,
    )


def epilog(examples: str) -> str:
    """Examples for the end of a help text, each on a line of its own."""
    lines = [line.strip() for line in examples.strip().splitlines()]
    return "\n".join(["Examples:", "", "\b", *(f"    {line}" for line in lines)])


def normalized(args: Sequence[str], params: Sequence[Any]) -> Iterator[str]:
    """The arguments without what click does not know: ``-o=json``, ``--wait=false``.

    Args:
        args: As typed.
        params: Of the command. What follows ``--`` is left alone.
    """
    options = {name: param for param in params for name in param.opts}
    rest = iter(args)
    for arg in rest:
        if arg == "--":
            yield arg
            break
        name, equals, value = arg.partition("=")
        param = options.get(name)
        if not equals or param is None:
            yield arg
        elif getattr(param, "is_flag", False):
            is_on = value.lower() in ("true", "t", "1")
            yield from ([name] if is_on else param.secondary_opts[:1])
        elif name.startswith("--"):
            yield arg
        else:
            yield from (name, value)
    yield from rest
