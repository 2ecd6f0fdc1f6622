"""The sources of a project: one file `flows/<source>.py` with one contract `checks/<source>.yml` each.

A file is loaded by its path, under a private name: what a source is called can neither hide nor be hidden by a module.
"""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from dartifact.domain.errors import UsageError
from dartifact.domain.hints import Command
from dartifact.domain.sources import HAND, LONGEST_NAME, Source, is_name

_PACKAGE = "dartifact_project_flows"
_TAKEN = {
    HAND: "it stands for changes made by hand",
    "__init__": "it is no source",
}


def list_source_names(project: Path) -> tuple[str, ...]:
    """Return the names of the sources: those of the contracts of batches. UsageError for a name that cannot be."""
    names = _list_contracts(project)
    for name in names:
        require_name(name)
    return names


def _list_contracts(project: Path) -> tuple[str, ...]:
    folder = project / "checks"
    if not folder.is_dir():
        raise UsageError(
            f"{project} is no project: it has no folder checks/", hint=(Command("init"), ", or --project DIR")
        )
    return tuple(sorted(path.stem for path in folder.glob("*.yml") if not path.stem.endswith(".drift")))


def require_name(name: str) -> None:
    """Raise UsageError with the reason where a source cannot have this name."""
    if name in _TAKEN:
        raise UsageError(f"a source cannot be called {name}: {_TAKEN[name]}", hint="rename its files")
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"a source cannot be called {name[:30]}…: the name has {len(name)} characters, "
            f"at most {LONGEST_NAME} are possible",
            hint="rename its files",
        )
    if not is_name(name):
        raise UsageError(
            f"a source cannot be called {name!r}: a name is small letters, digits and _ after a first letter",
            hint=f"rename checks/{name}.yml and flows/{name}.py",
        )


def load_source(name: str, project: Path) -> ModuleType:
    """Load the file of a source; it has `SOURCE` and `extract`.

    UsageError: there is no such source, its file cannot be loaded, or it declares something else than its name says.
    """
    known = _list_contracts(project)
    if name not in known:
        raise UsageError(f"there is no source {name}; known: {', '.join(known) or 'none'}", hint="see checks/")
    path = (project / "flows" / f"{name}.py").resolve()
    if not path.is_file():
        raise UsageError(f"checks/{name}.yml has no source file flows/{name}.py", hint=f"write flows/{name}.py")
    module = _load_file(path)
    source = getattr(module, "SOURCE", None)
    if not isinstance(source, Source):
        raise UsageError(f"flows/{name}.py declares no SOURCE", hint="SOURCE = dartifact.Source(name=..., ...)")
    if source.name != name:
        raise UsageError(
            f"flows/{name}.py declares the source {source.name}, its contract is checks/{name}.yml",
            hint="give the file, the contract and the source one name",
        )
    if not callable(getattr(module, "extract", None)):
        raise UsageError(f"flows/{name}.py has no function extract", hint="def extract(access): return RestSource(...)")
    return module


def declared_sources(project: Path) -> Mapping[str, Source]:
    """Return all declared sources by name."""
    return {name: load_source(name, project).SOURCE for name in list_source_names(project)}


def load_each_source(project: Path, *, written_only: bool = False) -> Mapping[str, Source | UsageError]:
    """Return all sources by name, one that cannot be loaded as the error that says why: it hides no other.

    With `written_only` those whose file is not there yet are left out: a contract may be written first.
    """
    found: dict[str, Source | UsageError] = {}
    for name in _list_contracts(project):
        if written_only and not (project / "flows" / f"{name}.py").is_file():
            continue
        try:
            require_name(name)
            found[name] = load_source(name, project).SOURCE
        except UsageError as error:
            found[name] = error
    return found


def _load_file(path: Path) -> ModuleType:
    name = f"{_PACKAGE}.{path.stem}"
    module = sys.modules.get(name)
    if module is not None and module.__file__ == str(path):
        return module
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a file of a user's raises is about that file
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f"line {error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else 1}"
        said = str(error).partition("\n")[0] or "no message"
        raise UsageError(f"flows/{path.name} cannot be loaded: {where}: {type(error).__name__}: {said}") from error
    return module
