"""The same as version 2 (Swagger): other places for the same things."""

from collections.abc import Mapping
from typing import Any

from orchestrator.api.openapi.schemas import REFERENCE

DEFINITIONS = "#/definitions/"


def document(
    info: Mapping[str, str], paths: Mapping[str, Any], schemas: Mapping[str, Any]
) -> dict[str, Any]:
    """A version 2 document of what version 3 says."""
    return {
        "swagger": "2.0",
        "info": info,
        "paths": {path: _path(item) for path, item in paths.items()},
        "definitions": _schema(schemas),
    }


def _path(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        method: [_parameter(one) for one in found] if method == "parameters" else _operation(found)
        for method, found in item.items()
    }


def _parameter(given: Mapping[str, Any]) -> dict[str, Any]:
    return {**_schema(given["schema"]), **{k: v for k, v in given.items() if k != "schema"}}


def _operation(given: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    parameters = [_parameter(one) for one in given["parameters"]]
    body = found.pop("requestBody", None)
    if body is not None:
        content = body["content"]
        schema = next(iter(content.values()))["schema"]
        parameters.append(
            {
                "name": "body",
                "in": "body",
                "required": body["required"],
                "schema": _schema(schema),
            }
        )
        found["consumes"] = list(content)
    answers = given["responses"]
    produces = [type_ for answer in answers.values() for type_ in answer["content"]]
    return found | {
        "parameters": parameters,
        "produces": list(dict.fromkeys(produces)),
        "responses": {
            status: {
                "description": answer["description"],
                "schema": _schema(next(iter(answer["content"].values()))["schema"]),
            }
            for status, answer in answers.items()
        },
    }


def _schema(value: Any) -> Any:
    """Version 2 has no choices: a number or text is a text of that format, the rest is anything."""
    if isinstance(value, list):
        return [_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "oneOf" in value:
        said = {key: inner for key, inner in value.items() if key == "description"}
        return said | {"type": "string", "format": "int-or-string"}
    if "anyOf" in value:
        return {"type": "object"}
    found = {key: _schema(inner) for key, inner in value.items()}
    pointed = found.get("$ref")
    if isinstance(pointed, str):
        found["$ref"] = pointed.replace(REFERENCE, DEFINITIONS)
    return found
