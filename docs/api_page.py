"""``docs/reference/api.md``: every route, from the API's own OpenAPI description."""

from collections.abc import Iterator, Mapping
from typing import Any

from clickledger.api.app import openapi_document
from docs.markdown import code, paragraphs, table

_INTRODUCTION = """\
# The API

HTTP Basic with the account SID as user name and the token as password.
XML is the default; `Accept: application/json` or a `.json` suffix of the path asks for JSON.
GET parameters are accepted in a form body too, and unknown ones are ignored.
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
    return "\n".join([_INTRODUCTION, *(_section(*route) for route in routes()), _ERRORS])


def _section(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"## `{method} {path}`", f"**{operation['summary']}.**"]
    if text := paragraphs(operation.get("description", "")):
        parts.append(text)
    given = [_parameter(one) for one in operation.get("parameters", ()) if one["in"] == "query"]
    if given:
        parts.append(table(("Parameter", "Type", "Meaning"), given))
    answers = [
        (status, answer["description"]) for status, answer in sorted(operation["responses"].items())
    ]
    parts.append(table(("Status", "Answer"), answers))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    schema = parameter["schema"]
    kind = schema["type"]
    if kind == "array":
        kind = f"{schema['items']['type']}, repeatable"
        schema = schema["items"]
    if choices := schema.get("enum"):
        kind = kind.replace("string", ", ".join(code(one) for one in choices))
    return code(parameter["name"]), kind, parameter.get("description", "")
