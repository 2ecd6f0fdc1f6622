"""The settings: `[tool.dartifact]` in `pyproject.toml`, overridden by `DARTIFACT_*`; nothing else reads them."""

from __future__ import annotations

import getpass
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from dartifact.domain.errors import UsageError
from dartifact.domain.hints import Command
from dartifact.domain.people import Role

_PROJECT = "DARTIFACT_PROJECT"
_HOME = "DARTIFACT_HOME"
_HELP = "see the documentation, Settings"
_PATHS = ("home", "salesforce_ca_file")


class _ProjectFile(PyprojectTomlConfigSettingsSource):
    """`pyproject.toml`; a path in it is meant from where the file lies."""

    def __call__(self) -> dict[str, Any]:
        values = super().__call__()
        folder = Path(str(self.toml_file_path)).parent
        return {name: folder / value if name in _PATHS else value for name, value in values.items()}


class Settings(BaseSettings):
    """Everything that may be set; each field is also the variable `DARTIFACT_<NAME>`."""

    model_config = SettingsConfigDict(
        env_prefix="DARTIFACT_",
        env_ignore_empty=True,
        extra="forbid",
        pyproject_toml_table_header=("tool", "dartifact"),
    )

    project: Path = Field(description="the folder of the project: `flows/`, `checks/`, `dbt/`, `prefect.yaml`")
    home: Path = Field(description="where the local lake, the ledger and secrets are kept")
    repository: str = Field("dartifact", pattern=r"^[a-z0-9][a-z0-9-]{2,62}$", description="the lakeFS repository")
    storage_namespace: str | None = Field(None, description="where a new repository keeps its objects, `s3://...`")
    lake_url: str | None = Field(None, description="a lakeFS server of yours; without it one is started in `home`")
    lake_access_key_id: str = Field("", description="key of that server")
    lake_secret_access_key: SecretStr = Field(SecretStr(""), description="secret of that key; environment only")
    lakefs_download_url: str | None = Field(None, description="mirror of the lakeFS release; default GitHub")
    lake_gateway_only: bool = Field(False, description="read through the S3 gateway even where files lie here")
    ledger_url: str | None = Field(None, description="SQLAlchemy URL of the ledger; default SQLite in `home`")
    notify_urls: list[SecretStr] = Field([], description="JSON list of Apprise URLs to tell; environment only")
    actor: str = Field("", description="who is recorded for what the CLI does; default the OS user")
    source_urls: dict[str, str] = Field({}, description='JSON, `{"orders": "https://..."}`: where each source answers')
    salesforce_client_id: str = Field("", description="client id of the connected app that customers are read with")
    salesforce_client_secret: SecretStr = Field(SecretStr(""), description="secret of that app; environment only")
    salesforce_ca_file: Path | None = Field(None, description="certificates to trust there, not the well-known ones")
    batch_size: int = Field(16, ge=1, le=256, description="runs tested together at the integration gate")
    skip_local_gate: list[str] = Field([], description="ingestors whose local gate is left out, as a JSON list")
    revert_culprits: bool = Field(True, description="take a run out of `main` when staging finds it guilty")
    attempts: int = Field(3, ge=1, le=20, description="tries of a run that cannot be finished before it is held")
    orphan_grace_seconds: float = Field(3600, ge=0, description="how long a row may wait for the row it refers to")
    candidate_retention_days: float = Field(7, ge=0, description="how long a refused candidate is kept for review")
    smoke_least_share: float = Field(0.5, ge=0, le=1, description="share of rows a mart must keep to be promoted")
    weights: list[int] = Field([5, 25, 100], description="JSON, shares of named consumers a promotion shifts through")
    soak_seconds: float = Field(
        1, ge=0, description="seconds each share is watched; minutes in earnest, 0: no traffic gate"
    )
    build_timeout_seconds: float = Field(1800, gt=0, description="longest dbt build")
    ingest_seconds: int = Field(300, description="seconds from one scheduled run of an ingestor to the next")
    approvals: int = Field(0, ge=0, le=10, description="people who have to approve a dartifact before it is promoted")
    sign_in: Literal["local", "oidc", "proxy"] = Field("local", description="who uses the browser UI; see Sign-in")
    roles: dict[str, Role] = Field(
        {}, description='JSON, who has which role, `{"group:owners": "reviewer", "person:ann@example.com": "operator"}`'
    )
    name_claim: str = Field("email", description="OIDC claim that names a person")
    role_claim: str = Field("groups", description="OIDC claim whose values are mapped to roles")
    proxy_secret: SecretStr = Field(
        SecretStr(""), description="what the proxy sends as X-Dartifact-Proxy; environment only"
    )
    sign_in_hours: float = Field(12, gt=0, description="hours after which people sign in with the provider again")
    ui_port: int = Field(0, ge=0, le=65535, description="port of the browser UI on this machine; 0: a free one")
    ui_hosts: list[str] = Field([], description="JSON, the names by which the UI is reached through a proxy")
    image: str = Field("", description="container image of the flow runs, for work pools that run containers")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let arguments win over the environment, that over `pyproject.toml`, and that over the project's place.

        Who names a home needs no project: a reader of production, say, has none.
        """
        given = init_settings.init_kwargs if isinstance(init_settings, InitSettingsSource) else {}
        root = Path(given["project"]) if "project" in given else _find_root()
        if root is None and "home" not in given and not os.environ.get(_HOME):
            raise _no_project()
        folder = (root or Path.cwd()).resolve()
        toml = _ProjectFile(settings_cls, folder / "pyproject.toml")
        places = InitSettingsSource(settings_cls, {"project": folder, "home": folder / ".dartifact"})
        return init_settings, env_settings, toml, places

    @field_validator("weights")
    @classmethod
    def _rise_to_all(cls, weights: list[int]) -> list[int]:
        if weights != sorted(set(weights)) or not weights or weights[0] < 1 or weights[-1] != 100:
            raise ValueError("shares have to rise from 1 or more to 100")
        return weights

    @property
    def ledger(self) -> str:
        """Return the ledger's URL."""
        return self.ledger_url or f"sqlite:///{self.home.resolve() / 'ledger.db'}"

    @property
    def person(self) -> str:
        """Return the actor of this process: `DARTIFACT_ACTOR`, else the OS user, who is not proven."""
        if self.actor:
            return self.actor
        try:
            return f"person:{getpass.getuser()} (not proven)"
        except (KeyError, OSError):
            return "person:unknown (not proven)"


def find_project(start: Path) -> Path | None:
    """Return the nearest folder, `start` or above, whose `pyproject.toml` has a table `[tool.dartifact]`.

    UsageError: a file on the way is no TOML.
    """
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            declared = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UsageError(f"{file} cannot be read: {error}") from error
        if "dartifact" in declared.get("tool", {}):
            return folder
    return None


def enter_project(project: str) -> dict[str, str]:
    """Let a flow run stand in its project, wherever its worker was started: a pull step of `prefect.yaml`.

    `project` is where the project was when it was deployed. A worker's, or an image's, variable DARTIFACT_PROJECT says
    where it lies there; UsageError where it lies nowhere.
    """
    named = os.environ.get(_PROJECT)
    folder = Path(named or project)
    if not folder.is_dir():
        raise UsageError(
            f"the project is not on this machine: there is no folder {folder}",
            hint=f"set {_PROJECT} for the worker to where it lies",
        )
    return {"directory": str(folder.resolve())}


def _find_root() -> Path | None:
    named = os.environ.get(_PROJECT)
    return Path(named) if named else find_project(Path.cwd())


def _no_project() -> UsageError:
    return UsageError(
        f"there is no project in {Path.cwd()} or above it: no pyproject.toml has a table [tool.dartifact]",
        hint=(Command("init"), ", or name one with --project or DARTIFACT_PROJECT"),
    )


def read_settings(**given: Any) -> Settings:
    """Read the settings; UsageError names the variable that is wrong, or says that there is no project here."""
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        name = "DARTIFACT_" + "_".join(str(each) for each in first["loc"]).upper()
        raise UsageError(f"{name}: {first['msg']}", hint=_HELP) from error
    except SettingsError as error:
        name = re.sub(r'.*field "(\w+)".*', r"DARTIFACT_\1", str(error)).upper()
        raise UsageError(f"{name}: Input should be valid JSON", hint=_HELP) from error
    except ValueError as error:
        raise UsageError(f"the settings cannot be read: {error}", hint=_HELP) from error


def read_deploy_values() -> dict[str, Any]:
    """Return what `prefect.yaml` takes from the settings: `project`, `ingest_cron` and, where one is set, `image`."""
    settings = read_settings()
    values: dict[str, Any] = {
        "project": str(settings.project.resolve()),
        "ingest_cron": write_cron(settings.ingest_seconds),
    }
    return values | ({"image": settings.image} if settings.image else {})


def write_cron(seconds: int) -> str:
    """Write a cron expression (with a sixth field for seconds if need be); UsageError for what does not divide."""
    # `prefect.yaml` takes no variable for an interval, but does for a cron expression.
    if seconds >= 1 and 60 % seconds == 0 and seconds < 60:
        return f"* * * * * */{seconds}"
    if seconds >= 60 and seconds % 60 == 0 and 60 % (seconds // 60) == 0:
        return f"*/{seconds // 60} * * * *" if seconds < 3600 else "0 * * * *"
    raise UsageError(
        f"DARTIFACT_INGEST_SECONDS: {seconds} s do not divide a minute or an hour",
        hint="e.g. 5, 10, 30, 60, 300, 3600",
    )
