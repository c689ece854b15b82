"""Where the value of a variable, or of a file, comes from, besides the manifest itself.

Source of the rules: Kubernetes, pkg/apis/core/validation, validateEnvVarValueFrom.
"""

from proto import quantity
from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Model
from proto.quantity import Quantity


class LocalObjectReference(Model, frozen=True, kw_only=True):
    """An object of the same namespace, by name."""

    name: str = ""


class ObjectFieldSelector(Model, frozen=True, kw_only=True):
    """A field of the pod itself: ``metadata.name`` or ``status.podIP``."""

    field_path: str
    api_version: str = ""


class ResourceFieldSelector(Model, frozen=True, kw_only=True):
    """What a container may use or is promised, in multiples of `divisor`, rounded up.

    Attributes:
        container_name: Empty, in a variable, for the container itself.
    """

    resource: str
    container_name: str = ""
    divisor: Quantity = ""


class KeySelector(Model, frozen=True, kw_only=True):
    """One key of a ConfigMap or a Secret.

    Attributes:
        optional: Whether the container may run without it.
    """

    key: str
    name: str = ""
    optional: bool | None = None


class ConfigMapKeySelector(KeySelector, frozen=True, kw_only=True):
    """One key of a ConfigMap."""


class SecretKeySelector(KeySelector, frozen=True, kw_only=True):
    """One key of a Secret."""


class ConfigMapEnvSource(Model, frozen=True, kw_only=True):
    """All keys of a ConfigMap."""

    name: str = ""
    optional: bool | None = None


class SecretEnvSource(ConfigMapEnvSource, frozen=True, kw_only=True):
    """All keys of a Secret."""


class EnvFromSource(Model, frozen=True, kw_only=True):
    """Variables by the dozen: each key, with `prefix` before it."""

    prefix: str = ""
    config_map_ref: ConfigMapEnvSource | None = None
    secret_ref: SecretEnvSource | None = None


RESOURCES = ("limits.cpu", "limits.memory", "requests.cpu", "requests.memory")
"""What `ResourceFieldSelector.resource` may name."""

_CPU_DIVISORS = ("1m", "1")
_MEMORY_DIVISORS = (
    *("1", "1k", "1M", "1G", "1T", "1P", "1E"),
    *("1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"),
)


def divisor(found: ResourceFieldSelector) -> Quantity:
    """In which multiples it is told; 1 when nothing is said."""
    return found.divisor if found.divisor not in ("", "0", 0) else 1


def validate_resource_field(at: str, found: ResourceFieldSelector) -> list[FieldError]:
    """What is wrong with it."""
    if not found.resource:
        return [validation.required(f"{at}.resource")]
    errors = validation.one_of(f"{at}.resource", found.resource, RESOURCES)
    if errors:
        return errors
    of = found.resource.partition(".")[2]
    known = _CPU_DIVISORS if of == "cpu" else _MEMORY_DIVISORS
    text = quantity.canonical(divisor(found))
    if text not in known:
        said = f"only divisor's values {', '.join(known)} are supported with the {of} resource"
        return [validation.invalid(f"{at}.divisor", found.divisor, said)]
    return []


def validate_key(at: str, found: KeySelector) -> list[FieldError]:
    """What is wrong with the choice of a key."""
    errors = [] if found.name else [validation.required(f"{at}.name")]
    if not found.key:
        return [*errors, validation.required(f"{at}.key")]
    if not validation.CONFIG_KEY.fullmatch(found.key):
        errors.append(validation.invalid(f"{at}.key", found.key, validation.SAYS_CONFIG_KEY))
    return errors


def validate_env_from(at: str, found: EnvFromSource) -> list[FieldError]:
    """What is wrong with one source of many variables."""
    errors = []
    if found.prefix and not validation.ENV_NAME.fullmatch(found.prefix):
        errors.append(validation.invalid(f"{at}.prefix", found.prefix, validation.SAYS_ENV_NAME))
    sources = {"configMapRef": found.config_map_ref, "secretRef": found.secret_ref}
    named = {name: source for name, source in sources.items() if source is not None}
    if not named:
        text = "must specify one of: `configMapRef` or `secretRef`"
        errors.append(validation.invalid(at, "", text))
    elif len(named) > 1:
        errors.append(validation.invalid(at, "", "may not have more than one field specified"))
    return errors + [
        validation.required(f"{at}.{name}.name")
        for name, source in named.items()
        if not source.name
    ]
