"""`longshore`: the embedded cluster and the demo. A client: of ours it imports `proto` only."""

from orchestrator.cli.app import app


def main() -> None:
    """Console script ``longshore``."""
    app(prog_name="longshore")
