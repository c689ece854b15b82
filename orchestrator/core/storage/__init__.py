"""Storage that outlives pods: claims, the volumes they get, and what pods that use them wait for.

`matching` says which volume suits a claim, `provision` makes one that does, `claims` and `volumes`
are the plans for either kind, `using` is what a claim means for its pods' placement and their
nodes. Source of the rules and words: Kubernetes, pkg/controller/volume and the scheduler's plugin
volumebinding.
"""
