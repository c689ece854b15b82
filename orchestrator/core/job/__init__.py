"""Job: pods that run to their end, each end counted once.

A pod carries a finalizer until its end is in the job's status, so that one deleted meanwhile is
counted all the same. Counting takes three passes: the pod's uid (or index) is written down; its
finalizer is taken away; its uid becomes a number. A job that is decided, either way, is so first by
an interim condition, and only once all is counted and nothing runs by the final one.

Where Kubernetes remembers failures in memory to space out new attempts, here they are read off the
pods that failed, so that they survive a change of leader. Pods that were deleted or lost with their
node did not fail by themselves: they are replaced at once.

Source of the rules and words: Kubernetes, pkg/controller/job.
"""
