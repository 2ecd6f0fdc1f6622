"""The harmless variations that the checks should let pass, each as the SQL of a batch that is varied so."""

from __future__ import annotations

from collections.abc import Callable

from dartifact.compare.mutations.work import ALL, Mutated, Mutation, Work
from dartifact.domain.profiles import Kind
from dartifact.domain.sql_text import literal, quote


def _reordered(work: Work) -> Mutated | None:
    order = f"hash(file_row_number, {work.dose.seed})"
    return Mutated(f"SELECT * EXCLUDE (file_row_number) FROM {work.table.relation} ORDER BY {order}", ())


def _other_columns_first(work: Work) -> Mutated | None:
    names = ", ".join(quote(name) for name in reversed(list(work.table.columns)))
    return Mutated(f"SELECT {names}, * EXCLUDE (file_row_number, {names}) FROM {work.table.relation}", ())


_JITTER = "{x} + {spread} * 0.02 * ((hash(file_row_number) % 1000) / 500.0 - 1)"


def _fewer(work: Work) -> Mutated | None:
    return work.select((), where=f"NOT ({work.hits(0.1)})")


def _sample(work: Work) -> Mutated | None:
    return work.select((), where=work.hits(0.8))


def _all_numbers(expression: str) -> Callable[[Work], Mutated | None]:
    """Change all numbers a little; `spread` is the distance of a column's quartiles."""

    def make(work: Work) -> Mutated | None:
        columns, changed = work.fractions(), []
        for name in columns:
            measures = work.table.profile.columns[name].measures
            new = expression.format(x=quote(name), spread=measures["q75"] - measures["q25"])
            changed.append(f"CAST({new} AS {work.table.columns[name]}) AS {quote(name)}")
        return work.select(columns, replaced=", ".join(changed)) if columns else None

    return make


def _other_categories(work: Work) -> Mutated | None:
    column = work.choose(work.categories())
    return work.replace(column, literal(work.table.values(column)[1]) if column else "", share=0.02)


def _seconds_later(work: Work) -> Mutated | None:
    return work.replace(work.table.updated_at, f"least({{x}} + INTERVAL 2 SECOND, {work.table.end})", share=ALL)


def _one_great_number(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    if column is None:
        return None
    x, kind = quote(column), work.table.columns[column]
    great = f"CASE WHEN file_row_number = 0 THEN CAST({work.beyond(column, 1.5)} AS {kind}) ELSE {x} END AS {x}"
    return work.select((column,), replaced=great)


def _a_few_texts(work: Work) -> Mutated | None:
    free = work.table.of_kind(Kind.TEXT, categories=False)
    worded = [name for name in free if work.table.profile.columns[name].measures.get("max", 0) > 10]
    return work.replace(work.choose(worded), "replace({x}, 'a', 'o')", share=0.05)


HARMLESS = tuple(
    Mutation(name, words, make, graded=False)
    for name, words, make in (
        ("rows_in_another_order", "the same rows in another order", _reordered),
        ("columns_in_another_order", "the same columns in another order", _other_columns_first),
        ("a_tenth_fewer_rows", "one row in ten is not there", _fewer),
        ("four_rows_in_five", "another sample of the same", _sample),
        ("a_tenth_more_rows", "one row in ten has a second one like it", lambda work: work.copies(0.1, 1)),
        ("rows_twice", "one row in twenty comes twice, as it is", lambda work: work.copies(0.05, 1, same=True)),
        ("numbers_jitter", "numbers differ by up to a fiftieth of their spread", _all_numbers(_JITTER)),
        ("numbers_rise", "numbers are higher by a thirtieth of their spread", _all_numbers("{x} + {spread} / 30")),
        ("categories_move", "one row in fifty is of another category", _other_categories),
        ("seconds_later", "rows are two seconds younger", _seconds_later),
        ("one_great_number", "one number is half as great again as the greatest", _one_great_number),
        ("a_few_other_texts", "one text in twenty is spelled otherwise", _a_few_texts),
    )
)
"""What the checks should let pass."""
