"""The Kubernetes REST API, generic over `proto.kinds`.

    bytes ─ bodies ─▶ plain JSON ─ core.fields ─▶ struct ─ runtime.verbs ─▶ writer
    world ─▶ entry ─ tables | raw JSON ─▶ bytes

`app` takes a request, `routes` says what it is about, `resources` and its neighbours answer it.
Nothing here knows a kind by name except the modules of the subresources that only one kind has.
Reads come from the world and never wait; writes wait for the store's commit.
"""
