"""The one place where errors of simple-salesforce and requests become ours: one line, without token or secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dartifact.domain.errors import DartifactError, SourceMalformed, SourceUnavailable
from dartifact.domain.texts import fit_line

if TYPE_CHECKING:
    from requests import Response  # type: ignore[import-untyped, unused-ignore]

_PASSING_CODES = frozenset({"INVALID_QUERY_LOCATOR", "QUERY_TIMEOUT", "SERVER_UNAVAILABLE", "UNABLE_TO_LOCK_ROW"})
_PASSING_STATUSES = frozenset({429, 502, 503, 504})


class Expired(Exception):
    """The token is not good any more: log in again."""


class Passing(Exception):
    """Worth asking again after a moment; the message is fit for people."""


@contextmanager
def translated(url: str, timeout: float) -> Iterator[None]:
    """Turn what goes wrong inside into Expired, Passing, SourceUnavailable or SourceMalformed."""
    import requests  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415
    from simple_salesforce.exceptions import SalesforceError  # noqa: PLC0415

    try:
        yield
    except SalesforceError as error:
        raise _refuse(url, error.status, error.content) from error
    except requests.exceptions.JSONDecodeError as error:
        raise SourceMalformed(f"{url} did not return JSON: got {fit_line(error.doc, 60)}") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError) as error:
        raise SourceMalformed(f"{url} broke off in the middle of the response") from error
    except requests.exceptions.SSLError as error:
        message = f"{url} has a certificate that is not trusted: {_reason(error)}"
        raise SourceMalformed(message, hint="see DARTIFACT_SALESFORCE_CA_FILE") from error
    except requests.exceptions.ConnectTimeout as error:
        raise Passing(f"{url} cannot be reached: no connection in time") from error
    except requests.exceptions.Timeout as error:
        raise SourceUnavailable(f"{url} sent nothing for {timeout:g} s") from error
    except requests.exceptions.ConnectionError as error:
        if "timed out" in str(error):
            raise SourceUnavailable(f"{url} sent nothing for {timeout:g} s") from error
        raise Passing(f"{url} cannot be reached: {_reason(error)}") from error
    except requests.exceptions.RequestException as error:
        raise SourceMalformed(f"{url} sent an invalid response: {_reason(error)}") from error
    except (KeyError, TypeError) as error:
        # simple-salesforce takes `records`, `done` and `nextRecordsUrl` for granted.
        raise SourceMalformed(f"{url} did not return a page of records") from error


def refuse_login(url: str, answer: Response) -> Exception:
    """Return the error of an answer of the token endpoint that is not 200."""
    try:
        content = answer.json()
    except ValueError:
        content = None
    match content:
        case {"error": str(code), "error_description": str(words)}:
            told = f"{answer.status_code} {fit_line(code, 60)}: {fit_line(words, 200)}"
        case _:
            told = f"{answer.status_code}"
    if answer.status_code in _PASSING_STATUSES:
        return Passing(f"{url} is not available: got {told}")
    if answer.status_code >= 500:
        return SourceUnavailable(f"{url} is not available: got {told}")
    hint = "see DARTIFACT_SALESFORCE_CLIENT_ID and DARTIFACT_SALESFORCE_CLIENT_SECRET"
    return SourceMalformed(f"{url} denied access: got {told}", hint=hint)


def _refuse(url: str, status: int, content: Any) -> Exception:
    code, words = _read_error(content)
    shown = fit_line(words, 200 if code else 60)
    told = f"{status} {fit_line(code, 60)}: {shown}" if code else f"{status} {shown}"
    if status == 401:
        return Expired(told)
    if code == "REQUEST_LIMIT_EXCEEDED":
        return SourceUnavailable(f"{url} has no API calls left today: got {told}")
    if code in _PASSING_CODES or status in _PASSING_STATUSES:
        return Passing(f"{url} is not available: got {told}")
    kind: type[DartifactError] = SourceUnavailable if status >= 500 else SourceMalformed
    return kind(f"{url} {'is not available' if status >= 500 else 'refused the request'}: got {told}")


def _read_error(content: Any) -> tuple[str, str]:
    match content:
        case [{"errorCode": str(code), "message": str(words)}, *_]:
            return code, words
        case _:
            return "", str(content)


def _reason(error: Exception) -> str:
    """Return the innermost reason of an error of requests, whose own text names a pool, a URL and an object."""
    inner: Any = error.args[0] if error.args else error
    inner = getattr(inner, "reason", inner)
    return fit_line(str(inner).rsplit(": ", 1)[-1], 120)
