"""Lines: cut to a size, indented, and laid out as sections with a label."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

_LABEL = 13


def cut(text: str, size: int) -> str:
    """Return at most `size` characters of a text."""
    return text if len(text) <= size else text[: size - 1] + "…"


def indent(lines: Iterable[str], depth: int = 1) -> list[str]:
    """Return lines moved to the right, two blanks for each level."""
    return ["  " * depth + line for line in lines]


def format_section(label: str, lines: Sequence[str]) -> list[str]:
    """Return lines beside a label; nothing where there are no lines."""
    labels = [label] + [""] * (len(lines) - 1)
    return [f"{label:<{_LABEL}}{line}".rstrip() for label, line in zip(labels, lines, strict=True)] if lines else []


def format_steps(steps: Iterable[object]) -> list[str]:
    """Return steps with their numbers."""
    return [f"{number}. {step}" for number, step in enumerate(steps, start=1)]
