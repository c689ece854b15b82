"""`longshore ui`: serve the page until Ctrl-C, and open it in the user's browser."""

import webbrowser

from orchestrator.cli.session import Session
from orchestrator.cli.ui.server import serve


async def ui(session: Session, *, port: int, is_opened: bool) -> None:
    """Until Ctrl-C."""
    screen = session.screen

    def arrived(address: str) -> None:
        screen.say(f"{session.client.server} is shown at {address}")
        screen.tell(
            "It only reads, with your credentials, for browsers on this machine. Ctrl-C ends it."
        )
        if is_opened and not webbrowser.open(address):
            screen.tell(f"no browser could be started: open {address} yourself")

    await serve(session.client, port, arrived)
