"""Leases: who does something that only one should do at a time."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.domain.errors import Locked


@contextmanager
def hold_lease(ledger: Ledger, name: str, *, seconds: float = 60.0) -> Iterator[None]:
    """Hold a lease while the block runs, renewed in the background; Locked names who has it.

    Leases save work, nothing depends on them: losing one to a clock or a pause only means that two do the same, and
    one of them loses its compare-and-swap. A lease whose holder died on this machine is taken over at once.
    """
    holder = f"{socket.gethostname()}/{os.getpid()}/{int(psutil.Process().create_time())}/{threading.get_ident()}"
    with ledger.write() as tx:
        other = tx.leases.take(name, holder, seconds)
        if other is not None and _is_dead(other):
            tx.leases.drop(name, other)
            other = tx.leases.take(name, holder, seconds)
    if other is not None:
        raise Locked(f"{name} is being done by process {other.split('/')[1]} on {other.split('/')[0]}")
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(seconds / 3):
            with ledger.write() as tx:
                tx.leases.take(name, holder, seconds)

    keeper = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()
        with ledger.write() as tx:
            tx.leases.drop(name, holder)


def is_held(ledger: Ledger, name: str) -> bool:
    """Say whether somebody who is alive, as far as can be told, holds a lease."""
    with ledger.write() as tx:
        holder = tx.leases.find_holder(name)
    return holder is not None and not _is_dead(holder)


def _is_dead(holder: str) -> bool:
    host, pid, started, _ = holder.rsplit("/", 3)
    if host != socket.gethostname():
        return False
    try:
        return int(psutil.Process(int(pid)).create_time()) != int(started)
    except psutil.Error:
        return True
