"""What to tell whoever writes a pod, or a template of pods, of what only partly takes effect."""

from proto.kinds.cronjob import CronJobSpec
from proto.kinds.pod import PodSpec, PodTemplateSpec
from proto.meta import Resource


def of(found: Resource) -> list[str]:
    """One line for each such field; empty for kinds without pods."""
    path, spec = "spec", getattr(found, "spec", None)
    if isinstance(spec, CronJobSpec):
        path, spec = f"{path}.jobTemplate.spec", spec.job_template.spec
    template = getattr(spec, "template", None)
    if isinstance(template, PodTemplateSpec):
        path, spec = f"{path}.template.spec", template.spec
    return _of_volumes(path, spec) if isinstance(spec, PodSpec) else []


def _of_volumes(path: str, spec: PodSpec) -> list[str]:
    return [
        f"{path}.volumes[{index}].emptyDir.sizeLimit: nothing enforces it on a disk: it limits "
        "room of the medium Memory"
        for index, volume in enumerate(spec.volumes)
        if volume.empty_dir is not None and volume.empty_dir.size_limit and not volume.is_in_memory
    ]
