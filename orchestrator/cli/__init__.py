"""`longshore`: kubectl's verbs, and the embedded cluster. A client: it knows `proto` only."""

import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C. Source: shells, 128 + SIGINT."""


def main() -> None:
    """Console script ``longshore``."""
    try:
        from orchestrator.cli.app import app  # noqa: PLC0415 -- Ctrl-C may come this early, too

        app(prog_name="longshore")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
