"""What the generated description of the API says of each operation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from litestar.openapi.spec import (
    OpenAPIMediaType,
    OpenAPIResponse,
    OpenAPIType,
    Operation,
    Parameter,
    RequestBody,
    Schema,
)
from litestar.types import OperationIDCreator


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One parameter as the reference shows it; the handler reads it itself."""

    name: str
    description: str
    repeatable: bool = False
    type: OpenAPIType = OpenAPIType.STRING
    choices: tuple[str, ...] = ()

    def parameter(self) -> Parameter:
        """Return the parameter of the description."""
        return Parameter(
            name=self.name, param_in="query", description=self.description, schema=self.schema()
        )

    def schema(self, description: str | None = None) -> Schema:
        """Return what a value of it looks like."""
        one = Schema(type=self.type, enum=list(self.choices) or None)
        whole = Schema(type=OpenAPIType.ARRAY, items=one) if self.repeatable else one
        whole.description = description
        return whole


PAGE = (
    Query(name="Page", type=OpenAPIType.INTEGER, description="From 1; default 1."),
    Query(
        name="PageSize",
        type=OpenAPIType.INTEGER,
        description="Default 1000; more than 20000 counts as 20000.",
    ),
)


_OF_ACCOUNTS = {
    HTTPStatus.UNAUTHORIZED: "No credentials, or wrong ones.",
    HTTPStatus.FORBIDDEN: "The path is another account's, or not for accounts of this kind.",
}


def operation(
    *queries: Query, body: Sequence[Query] = (), answers: Mapping[HTTPStatus, str]
) -> type[Operation]:
    """Make an operation that names its parameters, what its body may say, and its answers."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            path = list(self.parameters or [])
            self.parameters = [*path, *(query.parameter() for query in queries)]
            if body:
                self.request_body = _request_body(body)
            common = _OF_ACCOUNTS if {"basic": []} in (self.security or []) else {}
            self.responses = {
                str(int(status)): OpenAPIResponse(description=sentence)
                for status, sentence in sorted({**common, **answers}.items())
            }

    return Documented


def operation_id(name: str) -> OperationIDCreator:
    """Name an operation that brands and partners have: each needs a name of its own."""
    return lambda _, __, path: f"{name}OfPartner" if path[0] == "Mediapartners" else name


def _request_body(fields: Sequence[Query]) -> RequestBody:
    schema = Schema(
        type=OpenAPIType.OBJECT,
        properties={field.name: field.schema(field.description) for field in fields},
    )
    kinds = ("application/json", "application/x-www-form-urlencoded")
    return RequestBody(content={kind: OpenAPIMediaType(schema=schema) for kind in kinds})
