"""Names of templates: equal templates, equal names."""

import hashlib

import msgspec

from proto.kinds.pod import PodTemplateSpec

HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
HASH_LENGTH = 10
"""As long as Kubernetes' longest; pod names stay within 63 characters up to a name of 46."""


def template_hash(template: PodTemplateSpec, collisions: int) -> str:
    """Names a template: equal ones, equal names; `collisions` picks another name for it.

    Names need not equal those that Kubernetes would pick, only differ between templates.
    """
    content = msgspec.json.encode(template, order="deterministic")
    digest = hashlib.sha256(content + (str(collisions).encode() if collisions else b"")).digest()
    number = int.from_bytes(digest, "big")
    letters = []
    for _ in range(HASH_LENGTH):
        number, letter = divmod(number, len(HASH_ALPHABET))
        letters.append(HASH_ALPHABET[letter])
    return "".join(letters)
