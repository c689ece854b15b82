"""CertificateSigningRequest: a certificate asked for, and approved or denied."""

import base64
import binascii
from typing import Annotated

from msgspec import Meta
from msgspec.structs import replace

from proto.errors import FieldError
from proto.kinds import validation
from proto.kinds.kind import Column, Kind, format_age
from proto.kinds.pod import age_cell
from proto.meta import Condition, Model, Resource, condition

EXPIRATION_MIN_S = 600
"""Source: Kubernetes, ValidateCertificateSigningRequest."""

_USAGES = frozenset(
    {
        "signing", "digital signature", "content commitment", "key encipherment", "key agreement",
        "data encipherment", "cert sign", "crl sign", "encipher only", "decipher only", "any",
        "server auth", "client auth", "code signing", "email protection", "s/mime",
        "ipsec end system", "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing",
        "microsoft sgc", "netscape sgc",
    }
)  # fmt: skip
_DECIDED = ("Approved", "Denied")
_LASTING = (*_DECIDED, "Failed")
"""Conditions that stay once they are there."""


class CertificateSigningRequestSpec(Model, frozen=True, kw_only=True):
    """What is wanted.

    Attributes:
        request: A PKCS #10 request in PEM, in base64.
        username: Who asks, as the API knew them; so are `uid`, `groups` and `extra`.
    """

    request: str = ""
    signer_name: str = ""
    expiration_seconds: int | None = None
    usages: tuple[str, ...] = ()
    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class CertificateSigningRequestStatus(Model, frozen=True, kw_only=True):
    """What became of it; the certificate is PEM in base64."""

    conditions: Annotated[tuple[Condition, ...], Meta(extra={"merge_key": "type"})] = ()
    certificate: str = ""


class CertificateSigningRequest(Resource, frozen=True, kw_only=True):
    """See the module."""

    spec: CertificateSigningRequestSpec = CertificateSigningRequestSpec()
    status: CertificateSigningRequestStatus = CertificateSigningRequestStatus()


def validate(
    new: CertificateSigningRequest, old: CertificateSigningRequest | None
) -> list[FieldError]:
    """Every wrong field; the spec may not change."""
    spec = new.spec
    errors = _request(spec.request)
    if not spec.usages:
        errors.append(validation.required("spec.usages"))
    for index, usage in enumerate(spec.usages):
        errors += validation.one_of(f"spec.usages[{index}]", usage, sorted(_USAGES))
    if not spec.signer_name:
        errors.append(validation.required("spec.signerName"))
    elif not all(spec.signer_name.partition("/")):
        said = 'must be a fully qualified domain and path of the form "example.com/signer-name"'
        errors.append(validation.invalid("spec.signerName", spec.signer_name, said))
    seconds = spec.expiration_seconds
    if seconds is not None and seconds < EXPIRATION_MIN_S:
        said = "may not specify a duration less than 600 seconds (10 minutes)"
        errors.append(validation.invalid("spec.expirationSeconds", seconds, said))
    if old is not None:
        errors += validation.immutable("spec", new.spec, old.spec)
    return errors


def _request(text: str) -> list[FieldError]:
    at = "spec.request"
    if not text:
        return [validation.required(at)]
    try:
        pem = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return [validation.invalid(at, text[:40], "illegal base64 data")]
    if b"-----BEGIN CERTIFICATE REQUEST-----" in pem:
        return []
    return [validation.invalid(at, text[:40], "PEM block type must be CERTIFICATE REQUEST")]


def validate_conditions(
    new: CertificateSigningRequest, old: CertificateSigningRequest
) -> list[FieldError]:
    """What an approval, or a status, may not say."""
    at = "status.conditions"
    errors: list[FieldError] = []
    types = {found.type for found in new.status.conditions}
    if set(_DECIDED) <= types:
        errors.append(
            validation.invalid(
                at, sorted(types), "Approved and Denied conditions are mutually exclusive"
            )
        )
    for index, found in enumerate(new.status.conditions):
        if not found.type:
            errors.append(validation.required(f"{at}[{index}].type"))
        if found.type in _LASTING and found.status != "True":
            errors.append(
                validation.not_supported(f"{at}[{index}].status", found.status, ("True",))
            )
    lost = {found.type for found in old.status.conditions if found.type in _LASTING} - types
    errors += [
        validation.forbidden(at, f"updates may not remove a condition of type {type_!r}")
        for type_ in sorted(lost)
    ]
    return errors


def validate_status(
    new: CertificateSigningRequest, old: CertificateSigningRequest
) -> list[FieldError]:
    """The same of a status, which may not decide: that is what an approval is for."""
    before = {found.type for found in old.status.conditions}
    return validate_conditions(new, old) + [
        validation.forbidden(
            "status.conditions", f"updates may not add a condition of type {found.type!r}"
        )
        for found in new.status.conditions
        if found.type in _DECIDED and found.type not in before
    ]


def _requested_by(
    new: CertificateSigningRequest, username: str, groups: tuple[str, ...], uid: str
) -> CertificateSigningRequest:
    """Whatever they say of themselves, it is who the API knows them to be."""
    spec = replace(new.spec, username=username, groups=groups, uid=uid, extra={})
    return replace(new, spec=spec)


def _condition_cell(found: CertificateSigningRequest) -> str:
    conditions = found.status.conditions
    said = [type_ for type_ in _DECIDED if condition(conditions, type_) is not None] or ["Pending"]
    if condition(conditions, "Failed") is not None:
        said.append("Failed")
    if found.status.certificate:
        said.append("Issued")
    return ",".join(said)


def _duration_cell(found: CertificateSigningRequest) -> str:
    seconds = found.spec.expiration_seconds
    return "<none>" if seconds is None else format_age(0, seconds * 1000)


SIGNING_REQUESTS: Kind[CertificateSigningRequest] = Kind(
    name="CertificateSigningRequest",
    group="certificates.k8s.io",
    version="v1",
    plural="certificatesigningrequests",
    singular="certificatesigningrequest",
    type=CertificateSigningRequest,
    is_namespaced=False,
    short_names=("csr",),
    columns=(
        Column("Age", age_cell),
        Column("SignerName", lambda found, _: found.spec.signer_name),
        Column("Requestor", lambda found, _: found.spec.username),
        Column("RequestedDuration", lambda found, _: _duration_cell(found)),
        Column("Condition", lambda found, _: _condition_cell(found)),
    ),
    requested_by=_requested_by,
    validate=validate,
    validate_part={"approval": validate_conditions, "status": validate_status},
    fields={"spec.signerName": lambda found: found.spec.signer_name},
    subresources={"approval": ("get", "patch", "update")},
    notice="are stored, approved and denied, but nothing signs them yet",
)
