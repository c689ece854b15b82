"""How a pod is called and how it finds others: host name, /etc/hosts and /etc/resolv.conf.

Source of fields, rules and texts: Kubernetes, pkg/apis/core/validation, ValidateHostAliases and
validatePodDNSConfig.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Annotated

from msgspec import Meta

from proto.errors import FieldError
from proto.kinds import validation
from proto.meta import Model

NAMESERVERS_MAX = 3
SEARCHES_MAX = 32
SEARCH_CHARACTERS_MAX = 2048
"""All of them together, with the spaces between them."""


class HostAlias(Model, frozen=True, kw_only=True):
    """Further names of an address, in /etc/hosts."""

    ip: str
    hostnames: tuple[str, ...] = ()


class PodDNSConfigOption(Model, frozen=True, kw_only=True):
    """An option of the resolver, such as ``ndots`` with the value ``2``."""

    name: str = ""
    value: str = ""


class PodDNSConfig(Model, frozen=True, kw_only=True):
    """What is added to the /etc/resolv.conf that dnsPolicy makes."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()


HostAliases = Annotated[tuple[HostAlias, ...], Meta(extra={"merge_key": "ip"})]

POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None")


def validate_aliases(path: str, aliases: Sequence[HostAlias]) -> list[FieldError]:
    """Every wrong field of a pod's further hosts."""
    errors: list[FieldError] = []
    for index, alias in enumerate(aliases):
        errors += _address(f"{path}[{index}].ip", alias.ip)
        for number, name in enumerate(alias.hostnames):
            errors += validation.subdomain(f"{path}[{index}].hostnames[{number}]", name)
    return errors


def validate_dns(at: str, policy: str, config: PodDNSConfig | None) -> list[FieldError]:
    """What is wrong with how a pod resolves names, after defaults; `at` is the spec's path."""
    errors = validation.one_of(f"{at}.dnsPolicy", policy, POLICIES)
    path = f"{at}.dnsConfig"
    if config is None:
        if policy == "None":
            text = "must provide `dnsConfig` when `dnsPolicy` is None"
            errors.append(validation.required(path, text))
        return errors
    if policy == "None" and not config.nameservers:
        text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(validation.required(f"{path}.nameservers", text))
    return errors + _validate_config(path, config)


def _validate_config(path: str, config: PodDNSConfig) -> list[FieldError]:
    errors: list[FieldError] = []
    if len(config.nameservers) > NAMESERVERS_MAX:
        text = f"must not have more than {NAMESERVERS_MAX} nameservers"
        at = f"{path}.nameservers"
        errors.append(validation.invalid(at, list(config.nameservers), text))
    for index, address in enumerate(config.nameservers):
        errors += _address(f"{path}.nameservers[{index}]", address)
    if len(config.searches) > SEARCHES_MAX:
        text = f"must not have more than {SEARCHES_MAX} search paths"
        errors.append(validation.invalid(f"{path}.searches", list(config.searches), text))
    if len(" ".join(config.searches)) > SEARCH_CHARACTERS_MAX:
        text = f"must not have more than {SEARCH_CHARACTERS_MAX} characters (including spaces)"
        text += " in the search list"
        errors.append(validation.invalid(f"{path}.searches", list(config.searches), text))
    for index, domain in enumerate(config.searches):
        if domain != ".":
            here = f"{path}.searches[{index}]"
            errors += validation.subdomain(here, domain.removesuffix("."))
    errors += [
        validation.required(f"{path}.options[{index}]", "must not be empty")
        for index, option in enumerate(config.options)
        if not option.name
    ]
    return errors


def _address(path: str, value: str) -> list[FieldError]:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        text = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        return [validation.invalid(path, value, text)]
    return []


def options(config: PodDNSConfig | None) -> Mapping[str, str]:
    """By name, the last one of a name; empty text for those without a value."""
    return {option.name: option.value for option in config.options} if config else {}
