"""The command line. Documents go to stdout, everything else to stderr."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from typer.exceptions import TyperException

from dartifact.cli.exit_codes import exit_code
from dartifact.cli.lazy import VerbGroup
from dartifact.domain import errors, marks

app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
)

_INTERRUPTED = 130


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415  (a quarter of what `--help` imports)

        print(f"dartifact {version('dartifact')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="print the version and end")
    ] = False,
    project: Annotated[
        Path | None,
        typer.Option(
            "--project", exists=True, file_okay=False, help="folder of the project; default the nearest one upward"
        ),
    ] = None,
) -> None:
    """Deliver data the way good teams deliver software: branches, gates, staging, blue/green, instant rollback."""
    if project is not None:
        os.environ["DARTIFACT_PROJECT"] = str(project.resolve())  # for what this process starts, too


def main() -> None:
    """Run the command line; a fault is one line that names the thing and the next command."""
    try:
        code = app(standalone_mode=False)
    except errors.DartifactError as error:
        _print_fault(error)
        sys.exit(exit_code(error))
    except TyperException as error:
        # typer's own exit code for usage is 2, which here means "there are differences".
        cast("Any", error).show()
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        code = _INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            raise  # a library's own error that only bears this type: a bug keeps its traceback
        _print_fault(errors.describe_machine(error))
        sys.exit(1)
    if code == _INTERRUPTED:  # typer returns it for Ctrl-C, too
        print("interrupted; nothing is lost, run the same command again", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)


def _print_fault(error: errors.DartifactError) -> None:
    print(f"dartifact: {marks.show_values(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"      try: {error.hint}", file=sys.stderr)
