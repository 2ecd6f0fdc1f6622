"""A reader that asks all the time what production is, and looks whether it ever gets a mixture."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dartifact.adapters.lakefs.lake import PRODUCTION
from dartifact.commands.production.publication import PUBLISHED_FENCE
from dartifact.commands.production.resolution import resolve
from dartifact.commands.stack import Stack
from tests.support.books import Files

_PAUSE = 0.03


class Reader:
    """Reads what `resolve` answers for plain and named readers, and what the branch `production` shows.

    Whatever it gets has to be whole: the fence of a dartifact with exactly the objects of that dartifact's build. On
    `production` it has to be one that was settled before. `polls` counts its rounds; a round that could not be read,
    or read a mixture, is in `faults`.
    """

    def __init__(self, stack: Stack, files: Files) -> None:
        self.stack, self.files = stack, files
        self.polls = 0
        self.faults: list[str] = []
        self.seen: dict[str, tuple[str, str]] = {}
        self._stop = threading.Event()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read all the time while the block runs."""
        self._stop.clear()
        thread = threading.Thread(target=self._read, name="reader", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _read(self) -> None:
        while not self._stop.wait(_PAUSE):
            try:
                self._poll()
            except Exception as error:  # noqa: BLE001 - a reader that stops reading would prove nothing
                self.faults.append(f"{type(error).__name__}: {error}")
            self.polls += 1

    def _poll(self) -> None:
        for consumer in (None, "ui", "report"):
            told = resolve(self.stack, consumer)
            dartifact, _ = self.look(told.commit)
            assert dartifact == told.dartifact, f"{consumer} is told {told}, and reads {dartifact}"
        shown = self.stack.lake.head(PRODUCTION).commit_id
        is_new = shown not in self.seen
        _, wanted = self.look(shown)
        if is_new:
            events = [each for name in ("ProductionSettled", "ProductionRolledBack")
                      for each in self.stack.ledger.events(type=name)]  # fmt: skip
            assert wanted in {each.payload["pointer"]["settled"] for each in events}, f"{wanted} was never settled"

    def look(self, commit: str) -> tuple[str, str]:
        """Return (dartifact, wanted commit) of a snapshot; AssertionError when it is not exactly one dartifact."""
        if commit not in self.seen:
            fence = self.files.lake.read_json(commit, PUBLISHED_FENCE)
            built = self.stack.ledger.dartifact(fence["dartifact"])
            assert built.commit is not None, f"{commit[:12]} shows {fence}, which was never built"
            shown = self.files.checksums(commit, PUBLISHED_FENCE)
            assert shown == self.files.checksums(built.commit, PUBLISHED_FENCE), f"{commit[:12]} mixes: {fence}"
            self.seen[commit] = (fence["dartifact"], fence["wanted"])
        return self.seen[commit]
