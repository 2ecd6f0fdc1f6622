"""The verb `checks self-test`."""

from __future__ import annotations

from dartifact.cli.frame import answer, opened, print_progress
from dartifact.cli.options import Output
from dartifact.cli.text.self_test import format_self_test
from dartifact.commands.upkeep import self_test as command
from dartifact.documents.self_tests import describe_self_test, describe_self_tests
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
    document = describe_self_test(tests[0]) if dataset else describe_self_tests(tests)
    answer(document, output, lambda: "\n\n".join(format_self_test(test) for test in tests))


def _print_trial(line: str) -> None:
    print_progress(f"  {line}")
