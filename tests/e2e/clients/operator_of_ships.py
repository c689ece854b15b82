"""An operator as kopf's documentation writes one; `kopf run` runs it beside the cluster.

A Ship gets a Deployment with its crew, which it owns, and says in its status how it fares.
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
    sailor = {"name": "sailor", "image": spec["image"], "command": ["sleep", "10000"]}
    crew = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": spec["size"],
            "template": {"spec": {"containers": [sailor], "terminationGracePeriodSeconds": 0}},
        },
    }
    kopf.label(crew, {"ship": name}, nested=["spec.template"])
    crew["spec"]["selector"] = {"matchLabels": {"ship": name}}
    kopf.adopt(crew)
    made = kubernetes.client.AppsV1Api().create_namespaced_deployment(namespace, crew)
    kopf.event(body, type="Normal", reason="Launched", message=f"{name} is afloat")
    patch.status["phase"] = "afloat"
    return {"crew": made.metadata.name}


@kopf.on.update("boats.example.com", "v1", "ships", field="spec.size")
def refit(name, namespace, old, new, patch, **_):
    change = {"spec": {"replicas": new}}
    kubernetes.client.AppsV1Api().patch_namespaced_deployment_scale(name, namespace, change)
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
    while not stopped:
        set_sail(name, namespace, "up")
        stopped.wait(5)
    set_sail(name, namespace, "down")


def set_sail(name, namespace, position):
    change = {"metadata": {"annotations": {"boats.example.com/sail": position}}}
    try:
        kubernetes.client.AppsV1Api().patch_namespaced_deployment(name, namespace, change)
    except kubernetes.client.ApiException as error:
        if error.status != 404:
            raise
