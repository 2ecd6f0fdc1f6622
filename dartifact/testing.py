"""What a project tests of itself in its CI: `from dartifact.testing import check_project`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml
from prefect.exceptions import MissingFlowError, ScriptError
from prefect.flows import load_flow_from_entrypoint

from dartifact.adapters.contracts.contracts import load_contract
from dartifact.adapters.transform.dbt_build import DbtBuilder
from dartifact.commands.staging.builds import seed_nothing
from dartifact.commands.upkeep.validate import validate_checks
from dartifact.domain.checks import Outcome
from dartifact.domain.errors import UsageError
from dartifact.project import declared_sources, load_each_source
from dartifact.settings import read_settings

_BUILT = ("project", "model", "seed", "snapshot", "operation")
_PATIENCE = 300.0


def check_project(project: Path | None = None) -> None:
    """Raise UsageError with every fault of a project, the nearest one by default; it needs no lake and no ledger.

    Contracts and drift rules are valid, the source files load and fit their contracts, each ingestor has a deployment
    whose flow can be imported, and dbt builds the models from sources without rows.
    """
    root = project or read_settings().project
    faults = [f"{found.file}: {found.found}" for found in validate_checks(root, load_each_source(root)) if not found.ok]
    if not faults:
        faults = [*_check_deployments(root), *_check_models(root)]
    if faults:
        raise UsageError("\n".join([f"{root.name} is not ready:", *(f"  {fault}" for fault in faults)]))


def _check_deployments(project: Path) -> Iterator[str]:
    file = project / "prefect.yaml"
    try:
        deployments = yaml.safe_load(file.read_text(encoding="utf-8"))["deployments"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        yield f"prefect.yaml cannot be read: {error}"
        return
    deployed = set()
    for deployment in deployments:
        path, _, name = deployment["entrypoint"].rpartition(":")
        entrypoint = f"{project / path}:{name}" if path else deployment["entrypoint"]
        try:
            load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
        except (ImportError, AttributeError, OSError, ScriptError, MissingFlowError, UsageError) as error:
            cause = str(error.__cause__ or error).partition("\n")[0]
            yield f"prefect.yaml: {deployment['name']}: {deployment['entrypoint']} cannot be imported: {cause}"
            continue
        deployed.add((Path(path).stem, (deployment.get("parameters") or {}).get("ingestor")))
    for source in declared_sources(project).values():
        for ingestor in source.ingestors:
            if (source.name, ingestor.name) not in deployed:
                yield f"prefect.yaml: no deployment runs the ingestor {ingestor.name} of {source.name}"


def _check_models(project: Path) -> Iterator[str]:
    sources = declared_sources(project)
    if not sources:
        return  # a new project has nothing to make a mart of
    contracts = {name: load_contract(project / "checks" / f"{name}.yml") for name in sources}
    with tempfile.TemporaryDirectory(prefix="dartifact-") as folder:
        build, work = Path(folder, "build"), Path(folder, "dbt")
        build.mkdir()
        seed_nothing(sources.values(), contracts, build)
        with DbtBuilder(project / "dbt", work, timeout=_PATIENCE) as dbt:
            nodes = dbt.build(build).nodes
    if not nodes:
        yield "dbt/ has no models"
    for node in nodes:
        if node.kind in _BUILT and node.outcome in (Outcome.FAILED, Outcome.ERRORED):
            yield f"dbt {node.kind} {node.name}: {node.message}"
