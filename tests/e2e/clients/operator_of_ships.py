"""An operator as kopf's documentation writes one; `kopf run` runs it beside the cluster.

A Ship gets a ConfigMap with its cargo, which it owns, and reports what is loaded in its status.
"""

import kopf
import kubernetes

kubernetes.config.load_kube_config()


@kopf.on.startup()
def configure(settings, **_):
    settings.background.cancellation_polling = 0.5  # how soon it sees that a daemon has stopped
    settings.persistence.finalizer = "boats.example.com/harbour"


@kopf.on.create("boats.example.com", "v1", "ships")
def launch(spec, name, namespace, body, retry, patch, **_):
    if retry == 0:
        raise kopf.TemporaryError("the tide is out", delay=0.2)
    cargo = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-cargo"},
        "data": {"size": str(spec["size"])},
    }
    kopf.adopt(cargo)
    made = kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, cargo)
    kopf.event(body, type="Normal", reason="Launched", message=f"{name} is afloat after {retry}")
    patch.status["phase"] = "afloat"
    return {"cargo": made.metadata.name}


@kopf.on.update("boats.example.com", "v1", "ships", field="spec.size")
def refit(name, namespace, old, new, patch, **_):
    change = {"data": {"size": str(new)}}
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(f"{name}-cargo", namespace, change)
    patch.status["phase"] = f"refitted from {old} to {new}"


@kopf.on.delete("boats.example.com", "v1", "ships")
def scrap(name, namespace, **_):
    log = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"{name}-log"},
        "data": {"end": "scrapped"},
    }
    kubernetes.client.CoreV1Api().patch_namespaced_config_map(  # applied: it may be called again
        f"{name}-log",
        namespace,
        log,
        field_manager="harbour",
        _content_type="application/apply-patch+yaml",
    )


@kopf.timer("boats.example.com", "v1", "ships", interval=0.5)
def look_out(status, patch, **_):
    patch.status["replicas"] = status.get("replicas", 0) + 1


@kopf.daemon("boats.example.com", "v1", "ships", labels={"crewed": "yes"})
def sail(stopped, name, namespace, **_):
    core = kubernetes.client.CoreV1Api()
    while not stopped:
        set_sail(core, f"{name}-cargo", namespace, "up")
        stopped.wait(5)
    set_sail(core, f"{name}-cargo", namespace, "down")


def set_sail(core, name, namespace, position):
    try:
        core.patch_namespaced_config_map(name, namespace, {"data": {"sail": position}})
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
