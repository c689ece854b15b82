"""Which node each pod should run on.

`table` holds what is known of the nodes in columns, `signature` tells which pods are alike and
`peers` what they want of each other, `filters` says which nodes can take a pod and `crowd` which
of them other pods leave to it, `draft` keeps count while pods are placed, `ranking` takes the best,
`place` goes through the queue, `refusal` words why a pod fits nowhere, and `preemption` says who
makes room for it.
"""

from orchestrator.core.scheduling.place import Placement, schedule
from orchestrator.core.scheduling.preemption import Preemption, Residents
from orchestrator.core.scheduling.table import NodeTable, table_of

__all__ = ["NodeTable", "Placement", "Preemption", "Residents", "schedule", "table_of"]
