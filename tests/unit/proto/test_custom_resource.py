from msgspec import Raw

from proto import codec
from proto.meta import CustomResource

OWNERS = [{"manager": "m", "operation": "Apply", "fieldsV1": Raw(b'{"f:spec":{"f:a":{}}}')}]


def test_a_custom_object_comes_back_from_its_bytes_with_its_content_and_owners():
    made = codec.from_plain(
        {
            "apiVersion": "example.com/v1",
            "kind": "Thing",
            "metadata": {"name": "a", "managedFields": OWNERS},
            "spec": {"a": 1},
            "data": ["beside the spec"],
        },
        CustomResource,
    )
    found = codec.decode(codec.encode(made), CustomResource)
    assert found.content == {"spec": {"a": 1}, "data": ["beside the spec"]}
    assert bytes(found.metadata.managed_fields[0].fields_v1) == bytes(OWNERS[0]["fieldsV1"])
    assert codec.to_plain(found) == codec.to_plain(made)
