"""Calls of the lakeFS SDK: connection, timeouts, retries and raw pages; what they mean stands in `lake.py`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import urllib3

from dartifact.domain import errors

_TRIES = 3
_PAUSE = 0.1
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class LakeAccess:
    """Where the lake answers and with which key; the secret stays out of every repr.

    `gateway_only` reads through the S3 gateway even where the store's files lie on this machine.
    """

    url: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    gateway_only: bool = False


TIMEOUT = (3.0, 30.0)
"""Seconds to connect, and seconds until the next byte."""


class LakeCalls:
    """The SDK's APIs, each as an attribute (`calls.branches_api`), and the three ways to call them.

    `seconds` adds up the time spent in calls, for reports of what a run costs; `refusal` is what every write raises.
    """

    def __init__(self, access: LakeAccess, repository: str, timeout: tuple[float, float] = TIMEOUT) -> None:
        self.seconds = 0.0
        self.refusal: errors.DartifactError | None = None
        self._access = access
        self._repository = repository
        self._timeout = timeout

    @cached_property
    def _client(self) -> Any:
        import lakefs_sdk  # noqa: PLC0415  (0.7 s: verbs that need the ledger only do without)
        from lakefs_sdk.client import LakeFSClient  # noqa: PLC0415

        configuration = lakefs_sdk.Configuration(
            host=f"{self._access.url.rstrip('/')}/api/v1",
            username=self._access.access_key_id,
            password=self._access.secret_access_key,
        )
        # The SDK would repeat PUT and DELETE by itself; what may be repeated is decided here.
        configuration.retries = urllib3.Retry(total=0, connect=0, read=0, redirect=0, status=0, other=0)
        return LakeFSClient(configuration, pool_threads=4)

    @cached_property
    def models(self) -> Any:
        """Return the SDK's request bodies."""
        from lakefs_sdk import models  # noqa: PLC0415

        return models

    def __getattr__(self, name: str) -> Any:
        if not name.endswith("_api"):
            raise AttributeError(name)
        return getattr(self._client, name)

    def read(self, what: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call something that changes nothing, several times if need be."""
        return self._call(what, call, args, options, write=False, tries=_TRIES)

    def write(self, what: str, call: Callable[..., Any], *args: Any, repeatable: bool = False, **options: Any) -> Any:
        """Call something that changes the lake: once, unless repeating it changes nothing more."""
        if self.refusal is not None:
            raise self.refusal
        return self._call(what, call, args, options, write=True, tries=_TRIES if repeatable else 1)

    def pages(
        self, what: str, call: Callable[..., Any], *args: Any, page: int = _PAGE, **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the results of a paged read as raw JSON: three times faster than the SDK's models."""
        after = ""
        while True:
            answer = self.read(what, call, *args, amount=page, after=after, _preload_content=False, **options)
            try:
                body = json.loads(answer.raw_data if hasattr(answer, "raw_data") else answer.data)
                results, pagination = body["results"], body["pagination"]
            except (ValueError, LookupError, TypeError) as error:
                raise errors.LakeRequestInvalid(f"{what}: the answer is not one of lakeFS 1.86") from error
            yield from results
            if not pagination["has_more"]:
                return
            after = pagination["next_offset"]

    def _call(
        self,
        what: str,
        call: Callable[..., Any],
        args: tuple[Any, ...],
        options: dict[str, Any],
        *,
        write: bool,
        tries: int,
    ) -> Any:
        from lakefs_sdk.exceptions import ApiException  # noqa: PLC0415

        from dartifact.adapters.lakefs.errors import translate  # noqa: PLC0415

        # A repository is created by body alone, the server has one configuration; every other call names it first.
        full = args if call.__name__ in ("create_repository", "get_config") else (self._repository, *args)
        for attempt in range(1, tries + 1):
            started = time.perf_counter()
            try:
                return call(*full, _request_timeout=self._timeout, **options)
            except (ApiException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                ours = translate(error, what, write=write)
                if not ours.retryable or isinstance(ours, errors.Conflict) or attempt == tries:
                    raise ours from error
            finally:
                self.seconds += time.perf_counter() - started
            time.sleep(_PAUSE * 3 ** (attempt - 1))
        raise AssertionError("unreachable")
