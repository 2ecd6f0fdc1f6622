"""The errors of the product: one base class, one child per thing the caller can do about it."""

from __future__ import annotations

import errno

from dartifact.domain.hints import Command, Hint
from dartifact.domain.marks import show_values


class DartifactError(Exception):
    """A fault with a one-line message and, where there is one, the next command to try.

    Values of the data are marked in `message` (`domain.marks`); as text an error shows them. `retryable` says whether
    the same call may succeed later without anybody changing anything.
    """

    retryable = False

    def __init__(self, message: str, *, hint: str | Command | tuple[str | Command, ...] | Hint = "") -> None:
        super().__init__(show_values(message))
        self.message = message
        self.hint = Hint.of(hint)


class UsageError(DartifactError):
    """The request cannot be honoured as it was put. Change the request or the settings."""


class NotFound(UsageError):
    """A run, dartifact, branch, object or commit of that name does not exist. Look at `dartifact runs`."""


class ChecksFailed(DartifactError):
    """A gate asked and the answer is no. Look at the named branch or dartifact."""


class ChecksErrored(DartifactError):
    """A gate could not ask. Repair what the message names, then run the same command again."""

    retryable = True


class SourceUnavailable(ChecksErrored):
    """The source does not answer. Nothing was claimed or lost; run the same command later."""


class SourceMalformed(ChecksErrored):
    """The source answered something that is not its protocol (HTML, half a page). Run again, or tell its owner."""


class LakeUnavailable(ChecksErrored):
    """The lake does not answer, and the call is known not to have happened. Start it, then run again."""


class LedgerUnavailable(ChecksErrored):
    """The ledger's database does not answer, or is damaged. Repair it; nothing was written. Then run again."""


class LedgerRefused(DartifactError):
    """The ledger's database refuses this value; nothing was written. Hold the run it is about, and report it."""


class OutcomeUnknown(ChecksErrored):
    """A write was sent and no answer came: it may or may not have happened. Repeat the same idempotent call."""


class PolicyRefused(DartifactError):
    """A policy or a missing approval forbids this. Ask for the approval, or change the policy."""


class ForeignLedger(PolicyRefused):
    """The ledger does not know what the lake shows. Restore it, adopt what is there, or name another repository."""


class MainHeld(PolicyRefused):
    """`main` was changed by hand, and bringing it back would remove runs. Keep it, or restore what was tested."""


class Stopped(PolicyRefused):
    """A person has stopped the line or paused this ingestor. Ask them, or start it again with the verb of the hint."""


class Conflict(DartifactError):
    """Somebody else moved first. Read again and decide again."""

    retryable = True


class Locked(Conflict):
    """Somebody else is doing this right now. Wait for them, then run again."""


class StalePointer(Conflict):
    """The live pointer's generation is not the expected one. Read it again; go on only if it still asks for this."""


class IllegalTransition(DartifactError):
    """A run, window or dartifact cannot go from its state to the asked one. Show it, then choose another verb."""


class LakeRefused(DartifactError):
    """The lake refused a write because the branch is protected. Protected branches move through the queue only."""


class LakeRequestInvalid(DartifactError):
    """The lake rejected the request itself: a bug here or an incompatible server. Report it with the message."""


class NoChanges(DartifactError):
    """A commit or merge would change nothing. After a repeated merge this means: it is done."""


class Aborted(DartifactError):
    """The operation stopped half-way and what it had done was taken back. The message says why."""


class MachineFault(DartifactError):
    """The machine refused: its disk is full, a folder may not be written. Do what the message names, then run again."""

    retryable = True


def describe_machine(error: OSError) -> MachineFault:
    """Return what the system refused in one line: `No space left on device: /data/ledger.db`."""
    hints = {
        errno.ENOSPC: "free disk space, or set DARTIFACT_HOME",
        errno.EDQUOT: "free disk space, or set DARTIFACT_HOME",
        errno.EROFS: "make it writable, or set DARTIFACT_HOME",
        errno.EACCES: "make it writable for this user, or set DARTIFACT_HOME",
        errno.EPERM: "make it writable for this user, or set DARTIFACT_HOME",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
    }
    where = f": {error.filename}" if error.filename else ""
    return MachineFault(f"{error.strerror or error}{where}", hint=hints.get(error.errno or 0, ""))


class ServerUnavailable(DartifactError):
    """A server of this machine cannot be got or started. Do what the hint names, then run again.

    The first line of the message stands alone; further lines say what was tried or how the server's log ends.
    """
