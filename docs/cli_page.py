"""``docs/reference/cli.md``: every command with its arguments and options."""

from collections.abc import Iterator

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.main import get_command

from clickledger import cli
from docs.markdown import code, paragraphs, table

_INTRODUCTION = """\
# The command line

Exit code 0 means done, 1 an error told in one line on standard error, 2 wrong usage.
`clickledger COMMAND --help` shows the same on the spot.
"""


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """Yield each command by its full name, in alphabetical order."""
    root = get_command(cli.app)
    yield from _below("clickledger", root)


def options(command: TyperCommand) -> Iterator[TyperOption]:
    """Yield the options of a command as it declares them, ``--help`` left out."""
    for parameter in command.params:
        if isinstance(parameter, TyperOption) and parameter.name != "help":
            yield parameter


def spellings(option: TyperOption) -> list[str]:
    """Return every way to write an option."""
    return [*option.opts, *option.secondary_opts]


def render() -> str:
    """Make the page."""
    return "\n".join([_INTRODUCTION, *(_section(name, one) for name, one in commands())])


def _below(name: str, command: object) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for part in sorted(command.commands):
            yield from _below(f"{name} {part}", command.commands[part])
    elif isinstance(command, TyperCommand):
        yield name, command


def _section(name: str, command: TyperCommand) -> str:
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    usage = " ".join([name, "[OPTIONS]", *(_argument(one) for one in arguments)])
    parts = [f"## `{name}`", paragraphs(command.help or ""), f"```text\n{usage}\n```"]
    if any(one.help for one in arguments):
        rows = [(code(_argument(one)), one.help or "") for one in arguments]
        parts.append(table(("Argument", "Meaning"), rows))
    rows = [_option(one) for one in options(command)]
    if rows:
        parts.append(table(("Option", "Meaning"), rows))
    return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def _argument(argument: TyperArgument) -> str:
    kind = argument.type_descriptor
    name = argument.metavar or (argument.name or "").upper()
    if kind.is_choice:
        name = "|".join(_plain(one) for one in kind.choices or ())
    name += "..." if argument.nargs != 1 else ""
    return name if argument.required else f"[{name}]"


def _option(option: TyperOption) -> tuple[str, str]:
    spelled = ", ".join(option.opts)
    if option.secondary_opts:
        spelled += " / " + ", ".join(option.secondary_opts)
    if not option.is_flag:
        spelled += f" {option.metavar or _metavar(option)}"
    facts = [option.help or ""]
    if option.required:
        facts.append("Required.")
    if option.multiple:
        facts.append("May be repeated.")
    if option.show_default and option.default not in (None, False, "", (), []):
        facts.append(f"Default: {code(_plain(option.default))}.")
    if option.envvar:
        facts.append(f"Environment: {code(option.envvar)}.")
    return code(spelled), " ".join(fact for fact in facts if fact)


def _metavar(option: TyperOption) -> str:
    kind = option.type_descriptor
    if kind.is_choice:
        return "|".join(_plain(one) for one in kind.choices or ())
    return {"int": "NUMBER", "float": "NUMBER"}.get(option.bare_type(), "TEXT")


def _plain(value: object) -> str:
    return str(getattr(value, "value", value))
