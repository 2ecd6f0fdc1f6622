"""Take the pictures of the docs: `uv run python tests/e2e/make_pictures.py` plays two weeks of the demo (two minutes).

Every page, 1280 pixels wide, light; they are kept in `docs/pictures`. `--home` uses a home that was played before.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect

from dartifact.adapters.ledger.ledger import Ledger
from dartifact.commands.ingest.ingest import ingest
from dartifact.commands.queue.integrate import integrate
from dartifact.demo.history import History
from dartifact.demo.server import simulated_sources
from dartifact.demo.story import INGESTORS, first_state
from dartifact.domain.runs import Phase
from dartifact.project import load_source
from dartifact.settings import read_settings
from dartifact.wiring import open_stack
from tests.conftest import PROJECT
from tests.support.browser import PATIENCE, running_browser, running_ui

PICTURES = PROJECT / "docs" / "pictures"
ORDERS_PER_TICK = 120


def main() -> None:
    """Play the demo, open each page, keep what it looks like."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        home = chosen.home or Path(folder) / "home"
        os.environ["DARTIFACT_HOME"] = str(home)
        os.environ["DARTIFACT_ACTOR"] = "person:ann"
        if chosen.home is None:
            play(home)
        ledger = Ledger(read_settings().ledger)
        bad = ledger.runs(phases=(Phase.FAILED,), most=1)[0].run_id
        live = ledger.pointer().live or ""
        ledger.close()
        pages = {
            "now": ("", "Recent runs by ingestor"),
            "runs": ("runs", "Phase"),
            "run": (f"run?run={bad}", "old → new in changed cells"),
            "distributions": (f"run?run={bad}&part=Distributions", "share of rows"),
            "dartifact": (f"dartifacts?dartifact={live}", "unchanged"),
            "production": ("production?to=last", "changed, "),
            "activity": ("activity", "Export as CSV"),
        }
        PICTURES.mkdir(exist_ok=True)
        with running_ui(Path(folder) / "ui.log") as url, running_browser() as browser:
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            for name, (address, text) in pages.items():
                take(page, f"{url}/{address}", text, PICTURES / f"{name}.png")


def play(home: Path) -> None:
    """Play two weeks of the demo's history into a home, and a bad half-hour after them."""
    settings = read_settings(home=home)
    company = home / "demo" / "company.json"
    with (
        open_stack(settings, print) as stack,
        simulated_sources(company, initial=first_state(ORDERS_PER_TICK)) as sources,
    ):
        modules = {name: load_source(name, settings.project) for name, _ in INGESTORS}
        History(stack, sources, modules, INGESTORS, print).play()
        sources.advance(5)
        sources.add_fault("orders", "negative_amounts")
        sources.advance()
        for dataset, ingestor in INGESTORS:
            extractor = modules[dataset].extract(sources.access(dataset))
            ingest(stack, modules[dataset].SOURCE, extractor, ingestor, actor=f"ingestor:{ingestor}")
        integrate(stack, actor="policy:integrate")


def take(page: Page, url: str, text: str, file: Path) -> None:
    """Open a page, wait until it shows a text and stands still, and keep it as a picture."""
    page.goto(url)
    expect(page.get_by_text(text).first).to_be_attached(timeout=PATIENCE)
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(1500)  # charts and grids draw themselves
    page.screenshot(path=file)
    print(file.relative_to(PROJECT))


if __name__ == "__main__":
    main()
