"""How many replicas an autoscaler's target should have.

`plan` looks at one autoscaler and decides; `calls` says how many replicas its metrics call for,
`resources` and `external` each of them, and `pace` how fast it may go. `measured` is what they are
told.
"""

from orchestrator.core.autoscale.external import LAG, consumer_of
from orchestrator.core.autoscale.measured import Consumer, Measured, Target
from orchestrator.core.autoscale.plan import SYNC_MS, Look, Memory, plan

__all__ = [
    "LAG",
    "SYNC_MS",
    "Consumer",
    "Look",
    "Measured",
    "Memory",
    "Target",
    "consumer_of",
    "plan",
]
