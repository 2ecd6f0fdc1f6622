"""The faults that the checks should stop, each as the SQL of a batch that has it."""

from __future__ import annotations

from dartifact.compare.mutations.work import Mutated, Mutation, Work
from dartifact.domain.profiles import Kind
from dartifact.domain.sql_text import literal, quote


def _number(expression: str, name: str, words: str) -> Mutation:
    def make(work: Work) -> Mutated | None:
        return work.replace(
            work.choose(work.table.of_kind(Kind.NUMBER)), expression.format(x="{x}", m=work.dose.magnitude)
        )

    return Mutation(name, words, make)


def _text(expression: str, name: str, words: str, *, categories: bool | None = None) -> Mutation:
    def make(work: Work) -> Mutated | None:
        return work.replace(work.choose(work.table.of_kind(Kind.TEXT, categories=categories)), expression)

    return Mutation(name, words, make)


def _time(expression: str, name: str, words: str) -> Mutation:
    def make(work: Work) -> Mutated | None:
        column = work.choose(work.table.of_kind(Kind.TIME))
        return work.replace(column, expression.format(x="{x}", m=work.dose.magnitude, end=work.table.end))

    return Mutation(name, words, make)


def _nulls(work: Work) -> Mutated | None:
    fits = work.table.of_any_kind()
    usual = [name for name in fits if work.table.profile.columns[name].nulls > 0.2 * work.table.profile.rows]
    return work.replace(work.choose([name for name in fits if name not in usual]), "NULL")


def _null_keys(work: Work) -> Mutated | None:
    return work.replace(work.table.key[0], "NULL")


def _orphans(work: Work) -> Mutated | None:
    column = work.choose([name for name in work.table.references if name in work.table.columns])
    is_text = column is not None and work.table.columns[column].upper() == "VARCHAR"
    return work.replace(column, "regexp_replace({x}, '[0-9]', '9', 'g')" if is_text else "{x} + 1000000000")


def _ambiguous(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    if column is None:
        return None
    x, kind, relation = quote(column), work.table.columns[column], work.table.relation
    other = f"CAST({x} + 1 AS {kind}) AS {x}"
    second = f"SELECT * EXCLUDE (file_row_number) REPLACE ({other}) FROM {relation} WHERE {work.hits()}"
    return Mutated(f"SELECT * EXCLUDE (file_row_number) FROM {relation} UNION ALL BY NAME {second}", (column,))


def _constant(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    return work.replace(column, str(work.table.profile.columns[column].measures["q50"]) if column else "")


def _outliers(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.NUMBER))
    return work.replace(column, work.beyond(column, 30 * work.dose.magnitude) if column else "")


def _rounded(work: Work) -> Mutated | None:
    return work.replace(work.choose(work.fractions()), "round({x})")


def _shuffled(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_any_kind())
    if column is None:
        return None
    x, relation = quote(column), work.table.relation
    moved = f"SELECT *, lead({x}, 7) OVER (ORDER BY hash(file_row_number)) AS moved FROM {relation}"
    value = f"CASE WHEN {work.hits()} THEN coalesce(moved, {x}) ELSE {x} END AS {x}"
    return Mutated(f"SELECT * EXCLUDE (file_row_number, moved) REPLACE ({value}) FROM ({moved})", (column,))


def _collapsed(work: Work) -> Mutated | None:
    column = work.choose(work.categories())
    return work.replace(column, literal(work.table.values(column)[0]) if column else "")


def _vanished(work: Work) -> Mutated | None:
    column = work.choose(work.categories())
    if column is None:
        return None
    values, x = work.table.values(column), quote(column)
    second = literal(values[1])
    return work.select((column,), replaced=f"CASE {x} WHEN {second} THEN {literal(values[0])} ELSE {x} END AS {x}")


def _rotated(work: Work) -> Mutated | None:
    column = work.choose(work.categories())
    if column is None:
        return None
    values = work.table.values(column)
    whens = " ".join(
        f"WHEN {literal(a)} THEN {literal(b)}" for a, b in zip(values, [*values[1:], values[0]], strict=True)
    )
    return work.replace(column, f"CASE {{x}} {whens} ELSE {{x}} END")


def _stale(work: Work) -> Mutated | None:
    return work.replace(work.table.updated_at, f"{{x}} - INTERVAL 1 DAY * {work.dose.magnitude}")


def _from_the_future(work: Work) -> Mutated | None:
    return work.replace(work.table.updated_at, f"{{x}} + INTERVAL 1 DAY * {work.dose.magnitude}")


def _reversed(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_kind(Kind.TIME))
    return work.replace(column, f"{quote(work.table.updated_at)} + INTERVAL 1 SECOND")


def _lost(work: Work) -> Mutated | None:
    return work.select((), where=f"NOT ({work.hits()})")


def _multiplied(work: Work) -> Mutated | None:
    return work.copies(work.dose.share, 9)


def _deleted(work: Work) -> Mutated | None:
    return work.select((), replaced=f"{work.hits()} AS _deleted")


def _repeats(work: Work) -> Mutated | None:
    return _from_before(work, f"SELECT {_own(work)} FROM {work.table.before}") if work.table.before else None


def _regressions(work: Work) -> Mutated | None:
    column = work.choose(list(work.table.moves))
    if column is None or work.table.before is None:
        return None
    (old, new), stamp, x = work.table.moves[column], quote(work.table.updated_at), quote(column)
    late = f"(SELECT max({stamp}) FROM {work.table.relation})"
    back = f"SELECT {_own(work)} FROM {work.table.before} WHERE {x} = {literal(new)}"
    return _from_before(work, f"SELECT * REPLACE ({literal(old)} AS {x}, {late} AS {stamp}) FROM ({back})")


def _own(work: Work) -> str:
    return ", ".join(quote(name) for name in work.table.columns)


def _from_before(work: Work, rows: str) -> Mutated:
    """Put rows of the current table in place of some of the batch, with the system columns of the batch."""
    relation, names = work.table.relation, _own(work)
    many = f"(SELECT count(*) FROM {relation} WHERE {work.hits()})"
    system = f"SELECT * EXCLUDE (file_row_number, {names}) FROM {relation} LIMIT 1"
    return Mutated(
        f"SELECT * EXCLUDE (file_row_number) FROM {relation} WHERE NOT ({work.hits()}) UNION ALL BY NAME "
        f"SELECT * FROM ({rows} ORDER BY hash({quote(work.table.key[0])}, {work.dose.seed}) LIMIT {many}), ({system})",
        tuple(work.table.moves),
    )


def _missing(work: Work) -> Mutated | None:
    column = work.choose(work.table.of_any_kind())
    if column is None:
        return None
    return Mutated(f"SELECT * EXCLUDE (file_row_number, {quote(column)}) FROM {work.table.relation}", (column,))


def _unexpected(work: Work) -> Mutated | None:
    return Mutated(f"SELECT * EXCLUDE (file_row_number), 'x' AS surprise FROM {work.table.relation}", ("surprise",))


def _retyped(work: Work) -> Mutated | None:
    column = work.choose([*work.table.of_kind(Kind.NUMBER), *work.table.of_kind(Kind.TIME)])
    if column is None:
        return None
    x = quote(column)
    text = f"CASE WHEN {work.hits()} THEN 'unknown' ELSE CAST({x} AS VARCHAR) END AS {x}"
    return work.select((column,), replaced=text)


def _swapped(work: Work) -> Mutated | None:
    columns = work.table.of_any_kind()
    types = work.table.columns
    pairs = [(a, b) for a in columns for b in columns if a < b and types[a] == types[b]]
    if not pairs:
        return None
    a, b = work.dice.choice(pairs)
    x, y, hits = quote(a), quote(b), work.hits()
    swap = f"CASE WHEN {hits} THEN {y} ELSE {x} END AS {x}, CASE WHEN {hits} THEN {x} ELSE {y} END AS {y}"
    return work.select((a, b), replaced=swap)


FAULTS = (
    Mutation("nulls", "a column is null", _nulls),
    Mutation("null_keys", "the key is null", _null_keys),
    Mutation("ambiguous_keys", "keys come twice, with other content and the same time", _ambiguous),
    Mutation("orphans", "rows name what is not there", _orphans),
    _number("-{x}", "negative", "the sign is lost"),
    _number("0", "zero", "a number is zero"),
    _number("{x} / 100", "in_hundredths", "a number is in cents' unit, 100 times too small"),
    _number("{x} * 10", "tenfold", "a number is ten times too large"),
    Mutation("rounded", "a number has lost its decimals", _rounded),
    _number("{x} * (1 + 0.5 * {m})", "half_more", "a number is half as large again"),
    _number("{x} / (1 + 0.19 * {m})", "net_of_tax", "a number is 16 % too small"),
    Mutation("constant_number", "a number is always the same", _constant),
    Mutation("outliers", "a number is far beyond what it ever was", _outliers),
    _text("''", "blank", "a text is empty"),
    _text("' ' || {x}", "padded", "a text has a blank before it"),
    _text("'<p>' || {x} || '</p>'", "html", "a text is HTML"),
    _text("{x} || 'Ã¼'", "mojibake", "UTF-8 was read as something else"),
    _text("CASE WHEN {x} = upper({x}) THEN lower({x}) ELSE upper({x}) END", "other_case", "a text is in other letters"),
    _text("'N/A'", "placeholder", "a text is a word for nothing"),
    _text("left({x}, length({x}) // 2)", "truncated", "a text is cut off in the middle"),
    _text("'12,50'", "decimal_comma", "a text is a number with a decimal comma"),
    _text("'X-' || {x}", "prefixed", "a text has another form", categories=False),
    _text("{x} || repeat('x', 500)", "endless", "a text is far too long", categories=False),
    _text("'teleported'", "unknown_category", "a category that was never there", categories=True),
    Mutation("one_category", "all rows are of the most frequent category", _collapsed),
    Mutation("vanished_category", "a category is there no longer", _vanished, graded=False),
    Mutation("mapped_wrongly", "each category is taken for another", _rotated),
    _time("TIMESTAMPTZ '1970-01-01 00:00:00+00'", "epoch", "a time is 1970"),
    _time("{x} + INTERVAL 1 HOUR * 2 * {m}", "zone_ahead", "a time is two hours late, as if it were of another zone"),
    _time("{x} - INTERVAL 1 HOUR * 2 * {m}", "zone_behind", "a time is two hours early"),
    _time("{end}", "same_time", "a time is always the same"),
    Mutation("stale", "rows are a day older than the window", _stale),
    Mutation("from_the_future", "rows are a day later than the window", _from_the_future),
    Mutation("order_reversed", "a time is later than the one it comes before", _reversed),
    Mutation("lost_rows", "rows are missing", _lost),
    Mutation("multiplied_rows", "rows come ten times", _multiplied),
    Mutation("deletions", "rows are deleted", _deleted),
    Mutation("repeats", "rows are what main has already", _repeats),
    Mutation("regressions", "rows go back to an earlier state", _regressions),
    Mutation("missing_column", "a column is missing", _missing, graded=False),
    Mutation("unexpected_column", "a column that nobody knows", _unexpected, graded=False),
    Mutation("retyped_column", "a column holds words where it held numbers or times", _retyped),
    Mutation("swapped_columns", "two columns have changed places", _swapped),
    Mutation("shuffled_column", "a column's values stand in other rows", _shuffled),
)
"""What the checks should stop; by name, one at a time."""
