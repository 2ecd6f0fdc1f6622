"""Deletions that a source does not tell: found by comparing its keys with what is current."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dartifact.domain.runs import Phase
from tests.support.sources import customer
from tests.support.world import World


@pytest.fixture
def compared(world: World) -> World:
    """Return a world in which ten customers are in main and whose keys are compared every ten minutes."""
    source = replace(world.stack.source("customers"), key_snapshot=timedelta(minutes=10))
    world.stack.sources["customers"] = source  # type: ignore[index]
    world.land("customers", *map(customer, range(1, 11)))
    return world


def test_a_record_that_the_source_lacks_is_deleted_with_the_next_snapshot(compared: World) -> None:
    compared.sources["customers"].forget("C000003")
    compared.land("customers", customer(11))  # five minutes after the snapshot of the first run
    assert "C000003" in compared.keys("customers")
    run = compared.land("customers", customer(12))
    assert run.rows == 2
    assert "C000003" not in compared.keys("customers")
    assert len(compared.keys("customers")) == 11
    assert [each.payload["deleted"] for each in compared.events("KeysCompared")] == ["0", "1"]


def test_a_window_without_rows_brings_deletions_alone_and_only_once(compared: World) -> None:
    compared.sources["customers"].forget("C000003")
    compared.tick(timedelta(minutes=10))
    (run,) = compared.ingest("customers")
    assert (run.phase, run.rows) == (Phase.QUEUED, 1)
    compared.integrate()
    assert "C000003" not in compared.keys("customers")
    compared.tick(timedelta(minutes=10))
    (run,) = compared.ingest("customers")
    assert run.phase is Phase.EMPTY


def test_an_answer_that_would_empty_the_table_deletes_nothing_and_is_asked_again(compared: World) -> None:
    compared.sources["customers"].forget(*(f"C{number:06}" for number in range(1, 11)))
    compared.tick(timedelta(minutes=5))
    run = compared.land("customers", customer(11))
    assert run.rows == 1
    assert len(compared.keys("customers")) == 11
    (refused,) = compared.events("KeysRefused")
    assert "10 of 10 current rows would be deleted" in refused.payload["reason"]
    compared.sources["customers"].gone.clear()
    compared.land("customers", customer(12))
    assert len(compared.events("KeysCompared")) == 2
