"""The writing side of the ledger: one transaction, and its tables."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from dartifact.adapters.ledger.dartifacts import DartifactTable
from dartifact.adapters.ledger.operations import CursorTable, IntentTable, LeaseTable, ReportTable, StopTable
from dartifact.adapters.ledger.production import ProductionTables
from dartifact.adapters.ledger.runs import RunTable
from dartifact.adapters.ledger.transaction import Transaction
from dartifact.adapters.ledger.waivers import WaiverTable
from dartifact.adapters.ledger.windows import WindowTable


class Writer:
    """One transaction of the ledger, by table; made by `Ledger.write()`.

    A state change and its event are one call, so that neither exists alone.
    """

    def __init__(self, connection: sa.Connection, now: datetime, place: str = "") -> None:
        transaction = Transaction(connection, now, place)
        self.append = transaction.append
        self.runs = RunTable(transaction)
        self.windows = WindowTable(transaction, self.runs)
        self.reports = ReportTable(transaction)
        self.waivers = WaiverTable(transaction)
        self.dartifacts = DartifactTable(transaction)
        self.production = ProductionTables(transaction)
        self.intents = IntentTable(transaction)
        self.leases = LeaseTable(transaction)
        self.cursors = CursorTable(transaction)
        self.stops = StopTable(transaction)
