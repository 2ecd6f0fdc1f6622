"""The grid of a difference, laid out from rows."""

from __future__ import annotations

import pytest

from dartifact.commands.diffs.cells import RowDiff
from dartifact.domain.marks import HIDDEN
from ui.difference import lay_out, mark_cell
from ui.masks import Mask, mask_rows

CHANGED = RowDiff(1, "eve@example.com", "changed", {"city": ("Bonn", "Köln"), "note": (None, "x")}, ("c.note.missing",))
GONE = RowDiff(2, {"email": "bob@example.com", "n": 1}, "removed", {"city": ("Ulm", None)}, ())


def test_a_cell_says_what_was_and_what_is_and_what_fails_stands_in_front() -> None:
    grid = lay_out([CHANGED, GONE], first=["note"]).data
    assert grid.columns.tolist() == ["fails", "key", "kind", "note", "city"]
    assert grid.iloc[0].tolist() == ["✗ note.missing", "eve@example.com", "changed", "null → x", "Bonn → Köln"]
    assert grid.iloc[1].tolist() == ["", "bob@example.com, 1", "removed", "", "− Ulm"]
    assert "fails" not in lay_out([GONE]).data.columns


@pytest.mark.parametrize("key", [("email",), ("email", "n")])
def test_a_key_that_is_personal_is_hidden_like_every_value(key: tuple[str, ...]) -> None:
    grid = lay_out(mask_rows([CHANGED, GONE], key, Mask(frozenset({"n", "note"})))).data
    assert set(grid["key"]) == {HIDDEN}
    assert grid["city"].tolist() == [f"{HIDDEN} → {HIDDEN}", f"− {HIDDEN}"]
    assert "example" not in grid.to_string()


def test_the_sign_of_a_cell_is_its_colour_too() -> None:
    assert len({mark_cell(each) for each in ("+ 1", "− 1", "1 → 2", "")}) == 4
