"""What each answer of the lake means: the one table that turns SDK and transport errors into ours."""

from __future__ import annotations

import json

from lakefs_sdk.exceptions import ApiException
from urllib3 import exceptions as transport

from dartifact.domain import errors
from dartifact.domain.hints import Command

_BY_STATUS: dict[int, type[errors.DartifactError]] = {
    400: errors.LakeRequestInvalid,
    401: errors.PolicyRefused,
    403: errors.LakeRefused,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.NotFound,
    412: errors.Conflict,
    420: errors.LakeUnavailable,
    423: errors.Conflict,
    429: errors.LakeUnavailable,
    501: errors.LakeRequestInvalid,
}
_HINTS: dict[type[errors.DartifactError], str | Command] = {
    errors.PolicyRefused: "the lake refuses the key: look at DARTIFACT_LAKE_ACCESS_KEY_ID and _SECRET_ACCESS_KEY",
    errors.LakeUnavailable: Command("doctor"),
}
_NO_CHANGES = ("no changes", "nothing to commit")
# The connection was never made, so the request was never sent.
_NEVER_SENT = (transport.NewConnectionError, transport.ConnectTimeoutError, transport.NameResolutionError)


def translate(error: Exception, what: str, *, write: bool) -> errors.DartifactError:
    """Return our error for an SDK or transport error of the call described by `what` ("merge 1f3 into main").

    A write that may have been served is `OutcomeUnknown`; a read, or a write that was never sent, `LakeUnavailable`.
    """
    if isinstance(error, ApiException) and error.status:
        return translate_status(error.status, _message(error), what, write=write)
    if isinstance(error, ValueError):  # a good status, and a body that is not the lake's: whose server is this?
        unread = errors.OutcomeUnknown if write else errors.LakeRequestInvalid
        return unread(f"{what}: the answer is not one of lakeFS 1.86")
    reason = error.reason if isinstance(error, transport.MaxRetryError) and error.reason else error
    if write and not isinstance(reason, _NEVER_SENT):
        return errors.OutcomeUnknown(f"{what}: no answer from the lake ({type(reason).__name__})")
    hint = _HINTS[errors.LakeUnavailable]
    return errors.LakeUnavailable(f"{what}: the lake does not answer ({type(reason).__name__})", hint=hint)


def translate_status(status: int, text: str, what: str, *, write: bool) -> errors.DartifactError:
    """Return our error for an HTTP status with the lake's own words."""
    kind = _BY_STATUS.get(status)
    if status == 400 and any(words in text.lower() for words in _NO_CHANGES):
        kind = errors.NoChanges
    if kind is None:
        kind = errors.OutcomeUnknown if write else errors.LakeUnavailable
    return kind(f"{what}: the lake says {status}: {text}", hint=_HINTS.get(kind, ""))


def _message(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return str(error.body or error.reason or "no message").strip()[:200]
