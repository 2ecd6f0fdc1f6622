"""The verb `checks self-test`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.self_test import format_self_test
from dartifact.commands.upkeep import self_test as command
from dartifact.compare.mutations.self_test import SelfTest
from dartifact.domain import errors


def self_test(dataset: str, seed: int, magnitude: float, output: Output) -> None:
    """Inject faults into a batch of one dataset, or of each."""
    with opened() as (_, stack):
        if dataset and dataset not in stack.sources:
            raise errors.UsageError(f"there is no dataset {dataset}; there are {', '.join(sorted(stack.sources))}")
        tests = []
        for name in [dataset] if dataset else sorted(stack.sources):
            print_progress(f"{name}: faults and harmless variations of a recent batch, one at a time")
            tests.append(command.self_test(stack, name, seed=seed, magnitude=magnitude, progress=_print_trial))
    document = tests[0].to_json() if dataset else _describe(tests)
    answer(document, output, lambda: "\n\n".join(format_self_test(test) for test in tests))


def _print_trial(line: str) -> None:
    print_progress(f"  {line}")


def _describe(tests: Sequence[SelfTest]) -> dict[str, Any]:
    documents = [test.to_json() for test in tests]
    fitting, slipped = sum(len(test.fitting) for test in tests), sum(len(test.slipped) for test in tests)
    return {
        "catch_rate": round(1 - slipped / max(fitting, 1), 4),
        "false_alarms": sum(test.false_alarms for test in tests),
        "faults": [{"dataset": document["dataset"], **fault} for document in documents for fault in document["faults"]],
        "datasets": documents,
    }
