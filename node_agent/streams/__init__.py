"""What flows between one reader and one container: logs, consoles, connections to a port.

The agent opens no port: who wants a stream asks on the bus, and its bytes go over the bus.
"""

from node_agent.streams.server import StreamServer, Targets

__all__ = ["StreamServer", "Targets"]
