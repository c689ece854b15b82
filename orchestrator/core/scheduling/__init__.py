"""Which node each pod should run on.

`table` holds what is known of the nodes in columns, `signature` tells which pods are alike,
`filters` says which nodes can take a pod, `place` ranks them and takes the best, `refusal` words
why none could.
"""

from orchestrator.core.scheduling.place import Placement, schedule
from orchestrator.core.scheduling.table import NodeTable, table_of

__all__ = ["NodeTable", "Placement", "schedule", "table_of"]
