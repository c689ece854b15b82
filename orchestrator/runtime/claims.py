"""What the world knows of a pod's claims, for the scheduler and for the pod's node."""

from orchestrator.core.storage import using
from orchestrator.core.storage.matching import is_bound
from orchestrator.core.storage.using import Known
from orchestrator.world import World
from proto.kinds.persistentvolume import PERSISTENT_VOLUMES
from proto.kinds.pod import Pod
from proto.kinds.storage import PERSISTENT_VOLUME_CLAIMS, STORAGE_CLASSES


def known_of(world: World, pod: Pod) -> Known:
    """Everything that `core.storage.using` asks about the claims of one pod."""
    namespace, name = pod.metadata.namespace, pod.metadata.name
    named = using.names(name, pod.spec)
    found = ((one, world.get(PERSISTENT_VOLUME_CLAIMS, namespace, one)) for one in named)
    claims = {one: claim for one, claim in found if claim is not None}
    if all(map(is_bound, claims.values())):  # as nearly always: then nobody looks at the others
        wanted = {claim.spec.volume_name for claim in claims.values()}
        kept = (world.get(PERSISTENT_VOLUMES, "", one) for one in wanted)
        volumes = [volume for volume in kept if volume is not None]
    else:
        volumes = world.objects(PERSISTENT_VOLUMES)
    others = {
        one: [
            other
            for other in world.storage.pods_using(namespace, one)
            if other.metadata.uid != pod.metadata.uid
        ]
        for one in named
    }
    return Known(
        claims,
        {volume.metadata.name: volume for volume in volumes},
        {found.metadata.name: found for found in world.objects(STORAGE_CLASSES)},
        others,
    )
