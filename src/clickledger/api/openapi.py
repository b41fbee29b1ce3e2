"""What the generated description of the API says of each operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from litestar.openapi.spec import OpenAPIResponse, OpenAPIType, Operation, Parameter, Schema


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
        schema = Schema(type=self.type, enum=list(self.choices) or None)
        if self.repeatable:
            schema = Schema(type=OpenAPIType.ARRAY, items=schema)
        return Parameter(
            name=self.name, param_in="query", description=self.description, schema=schema
        )


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


def operation(*queries: Query, answers: Mapping[HTTPStatus, str]) -> type[Operation]:
    """Make an operation that names its parameters and its answers."""

    @dataclass
    class Documented(Operation):
        def __post_init__(self) -> None:
            path = list(self.parameters or [])
            self.parameters = [*path, *(query.parameter() for query in queries)]
            common = _OF_ACCOUNTS if {"basic": []} in (self.security or []) else {}
            self.responses = {
                str(int(status)): OpenAPIResponse(description=sentence)
                for status, sentence in sorted({**common, **answers}.items())
            }

    return Documented
