"""Check plain data against the few keywords of JSON Schema that `schema.json` uses.

The schema is the only statement of what a report holds; this file reads it instead of repeating it,
so that a report can be checked where the `jsonschema` package is not installed. The tests hold it
to that package on a table of damaged reports. Keywords: `$ref` (into `$defs`), `anyOf` (of one
schema and null), `const`, `enum`, `type`, `required`, `properties`, `additionalProperties`,
`items`, `minItems`, `maxItems`, `minimum`, `maximum`, `pattern`.

Reference: JSON Schema, draft 2020-12, https://json-schema.org/draft/2020-12/json-schema-validation
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

NAMES: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


def complaints(value: Any, schema: Schema, root: Schema, where: str = "") -> Iterator[str]:
    """What is wrong with `value`, one sentence each, the outermost first.

    Args:
        value: Data as `json.loads` returns it.
        schema: The part of the schema that `value` must fit.
        root: The whole schema, which holds `$defs`.
        where: Path of `value` in the whole data, as in `findings[0].cause`.
    """
    schema = resolved(schema, root)
    if "anyOf" in schema:
        if value is None:
            return
        schema = resolved(schema["anyOf"][0], root)
    wrong = next(misfits(value, schema), "")
    if wrong:
        yield f"{where or 'the report'} {wrong}"
    else:
        yield from inner_complaints(value, schema, root, where)


def resolved(schema: Schema, root: Schema) -> Schema:
    """The schema that a `$ref` points to; any other schema as it is."""
    if "$ref" not in schema:
        return schema
    return resolved(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], root)


def inner_complaints(value: Any, schema: Schema, root: Schema, where: str) -> Iterator[str]:
    """Complaints about the items of a list and the values of an object."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from complaints(item, schema.get("items", {}), root, f"{where}[{index}]")
    if isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            yield from complaints(item, known.get(key, others), root, place)


def misfits(value: Any, schema: Schema) -> Iterator[str]:
    """How `value` itself, without what it contains, fails `schema`."""
    if "const" in schema and not same(value, schema["const"]):
        yield f"is {shown(value)}; it must be {shown(schema['const'])}"
    if "enum" in schema and not any(same(value, choice) for choice in schema["enum"]):
        yield f"is {shown(value)}; it must be one of {', '.join(map(shown, schema['enum']))}"
    if "type" in schema and not has_type(value, schema["type"]):
        yield f"is {shown(value)}; it must be {alternatives(schema['type'])}"
    yield from size_misfits(value, schema)
    if isinstance(value, dict):
        missing = [key for key in schema.get("required", ()) if key not in value]
        if missing:
            yield f"lacks {', '.join(missing)}"


def size_misfits(value: Any, schema: Schema) -> Iterator[str]:
    """How a number, a text or the length of a list lies outside its bounds."""
    if is_number(value):
        if "minimum" in schema and value < schema["minimum"]:
            yield f"is {shown(value)}; the least allowed is {schema['minimum']}"
        if "maximum" in schema and value > schema["maximum"]:
            yield f"is {shown(value)}; the most allowed is {schema['maximum']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        yield f"is {shown(value)}; it must match {schema['pattern']}"
    if isinstance(value, list):
        fewest, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not fewest <= len(value) <= most:
            yield f"has {len(value)} items; it must have {fewest}"


def has_type(value: Any, names: str | list[str]) -> bool:
    """Whether `value` has one of the JSON types called `names`."""
    return any(is_a(value, name) for name in ([names] if isinstance(names, str) else names))


def is_a(value: Any, name: str) -> bool:
    """Whether `value` has the JSON type `name`; 1.0 is an integer, as JSON Schema has it."""
    match name:
        case "number":
            return is_number(value)
        case "integer":
            return is_number(value) and float(value).is_integer()
        case "null":
            return value is None
    kinds: dict[str, type] = {"array": list, "boolean": bool, "object": dict, "string": str}
    return isinstance(value, kinds[name])


def is_number(value: Any) -> bool:
    """Whether `value` is a number of JSON: in Python, `True` is an int too."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(value: Any, other: Any) -> bool:
    """Equality of JSON, where true is not 1."""
    return isinstance(value, bool) == isinstance(other, bool) and bool(value == other)


def alternatives(names: str | list[str]) -> str:
    """`a number or null`, for ["number", "null"]."""
    return " or ".join(NAMES[name] for name in ([names] if isinstance(names, str) else names))


def shown(value: Any) -> str:
    """A value short enough for an error message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
