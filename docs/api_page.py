"""``docs/reference/api.md``: every route, from the API's own OpenAPI description."""

from collections.abc import Iterator, Mapping
from typing import Any

from clickledger.api.app import openapi_document
from docs.markdown import code, paragraphs, table

_INTRODUCTION = """\
# The API

HTTP Basic with the account SID as user name and the token as password.
XML is the default; `Accept: application/json` or a `.json` suffix of the path asks for JSON.
Parameters may stand in the query, in a form body, or (but for GET) in a JSON object.
Unknown ones are ignored.
Of a parameter that is repeatable the form repeats the name, and JSON has a list.
Times are written `yyyy-mm-ddThh:mm:ss±hh:mm`.
Every answer carries `X-Request-Id`; quote it when you report a fault.
"""

_ERRORS = """\
## Errors

The body of an error carries both shapes that known clients read.

| Key | Value |
| --- | --- |
| `Status` | `ERROR` |
| `Message` | one sentence for people |
| `Errors` | each wrong field: `Field` and `Message` |
| `status` | the HTTP status as an integer |
| `error` | its standard phrase |
| `message` | the same sentence |

401 asks for credentials, and 403 says that they are not for this.
404 does not tell another account's things from what never was.
What the HTTP server itself refuses (a request line that is too long, say) may have an empty body.
The whole tree is in [errors.md](errors.md).
"""


def routes() -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield method, path and description of each operation, in order of the path."""
    paths: Any = openapi_document()["paths"]
    for path in sorted(paths):
        for method in ("get", "put", "post", "delete"):
            if method in paths[path]:
                yield method.upper(), path, paths[path][method]


def render() -> str:
    """Make the page."""
    known = {(method, path): operation for method, path, operation in routes()}
    sections = []
    for (method, path), operation in known.items():
        same = path.replace("/Mediapartners/", "/Advertisers/", 1)
        if same != path and (method, same) in known:
            sections.append(_partners_section(method, path, same))
        else:
            sections.append(_section(method, path, operation))
    return "\n".join([_INTRODUCTION, *sections, _ERRORS])


def _partners_section(method: str, path: str, same: str) -> str:
    return f"## `{method} {path}`\n\nFor partners, what `{method} {same}` is for brands.\n"


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"## `{method} {path}`", f"**{operation['summary']}.**"]
    if text := paragraphs(operation.get("description", "")):
        parts.append(text)
    given = [_parameter(one) for one in operation.get("parameters", ()) if one["in"] == "query"]
    if given:
        parts.append(table(("Parameter", "Type", "Meaning"), given))
    if body := operation.get("requestBody"):
        properties = body["content"]["application/json"]["schema"]["properties"]
        fields = [_row(name, schema) for name, schema in properties.items()]
        parts.append(table(("Field", "Type", "Meaning"), fields))
    answers = [
        (status, answer["description"]) for status, answer in sorted(operation["responses"].items())
    ]
    parts.append(table(("Status", "Answer"), answers))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    description = parameter.get("description", "")
    return _row(parameter["name"], {**parameter["schema"], "description": description})


def _row(name: str, schema: Mapping[str, Any]) -> tuple[str, str, str]:
    kind = schema["type"]
    one = schema
    if kind == "array":
        one = schema["items"]
        kind = f"{one['type']}, repeatable"
    if choices := one.get("enum"):
        kind = kind.replace("string", ", ".join(code(one) for one in choices))
    return code(name), kind, schema.get("description", "")
