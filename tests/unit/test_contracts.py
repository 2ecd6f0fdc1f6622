"""Contracts are read strictly: what would not be honoured is refused, by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from dartifact.adapters.contracts.contracts import checks_of, filter_of, load_contract, parse_contract
from dartifact.adapters.contracts.faults import FileRefused
from dartifact.adapters.tables.column_types import normalise_type
from dartifact.domain.errors import UsageError

CHECKS = Path(__file__).parents[2] / "checks"
PATH = Path("checks/things.yml")
HEAD = "dataset: lake/main/things\n"
ID_COLUMN = "columns:\n  - {name: id, data_type: bigint, checks: [{missing: }]}\n"
GOOD = HEAD + ID_COLUMN


def with_check(check: str) -> str:
    return GOOD + f"checks:\n  - {check}\n"


def on_column(check: str) -> str:
    return GOOD.replace("{missing: }", check)


@pytest.mark.parametrize(
    ("file", "columns"),
    [
        (
            "orders.yml",
            {
                "order_id": "bigint",
                "customer_id": "varchar",
                "status": "varchar",
                "amount": "decimal(12,2)",
                "currency": "varchar",
                "ordered_at": "timestamp with time zone",
                "updated_at": "timestamp with time zone",
            },
        ),
        (
            "customers.yml",
            {
                "customer_id": "varchar",
                "name": "varchar",
                "email": "varchar",
                "segment": "varchar",
                "country": "varchar",
                "updated_at": "timestamp with time zone",
            },
        ),
        (
            "marts/customer_statistics.yml",
            {
                "segment": "varchar",
                "country": "varchar",
                "month": "date",
                "customers": "bigint",
                "orders": "bigint",
                "revenue": "decimal(38,2)",
            },
        ),
    ],
)
def test_committed_contracts_load_with_their_columns(file: str, columns: dict[str, str]) -> None:
    contract = load_contract(CHECKS / file)
    assert contract.dataset == Path(file).stem
    assert dict(contract.columns) == columns
    assert contract.text == (CHECKS / file).read_text()
    assert checks_of(contract)


def test_every_committed_contract_is_one_of_the_tested() -> None:
    contracts = (path for path in CHECKS.rglob("*.yml") if not path.name.endswith(".drift.yml"))
    assert {path.relative_to(CHECKS).as_posix() for path in contracts} == {
        "orders.yml",
        "customers.yml",
        "marts/customer_statistics.yml",
    }


def test_check_ids_come_from_column_kind_and_name() -> None:
    text = (
        HEAD
        + """
columns:
  - name: id
    data_type: bigint
    checks:
      - missing:
      - duplicate:
      - invalid: {valid_min: 1}
      - invalid: {valid_max: 9, qualifier: upper}
      - aggregate: {function: avg, threshold: {must_be_less_than: 5}}
      - failed_rows: {name: Not 13!, expression: id = 13}
  - {name: at, data_type: timestamp with time zone}
checks:
  - row_count:
  - duplicate: {columns: [id, at]}
  - failed_rows: {name: Before 2000, expression: at < '2000-01-01'}
  - metric: {name: spread, expression: max(id) - min(id), threshold: {must_be_less_than: 5}}
  - freshness: {column: at, threshold: {must_be_less_than: 5}}
"""
    )
    assert [check.id for check in checks_of(parse_contract(text, PATH))] == [
        "things.id.missing",
        "things.id.duplicate",
        "things.id.invalid",
        "things.id.invalid.upper",
        "things.id.aggregate.avg",
        "things.id.failed_rows.not_13",
        "things.row_count",
        "things.duplicate.id_at",
        "things.failed_rows.before_2000",
        "things.metric.spread",
        "things.freshness.at",
    ]


def test_filter_is_read_and_absent_filter_is_none() -> None:
    assert filter_of(parse_contract(GOOD, PATH)) is None
    assert filter_of(parse_contract(GOOD + "filter: id > 3\n", PATH)) == "id > 3"


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        (GOOD + "cheks: [{row_count: }]\n", "cheks", "did you mean 'checks'?"),
        (GOOD.replace("checks", "cheks"), "columns.id.cheks", "did you mean 'checks'?"),
        (GOOD.replace("data_type", "datatype"), "columns.id.datatype", "did you mean 'data_type'?"),
        (on_column("{mising: }"), "columns.id.checks.mising", "did you mean 'missing'?"),
        (with_check("{row_cout: }"), "checks.row_cout", "did you mean 'row_count'?"),
        (
            on_column("{missing: {threshold: {must_be_less_then: 5}}}"),
            "columns.id.checks.missing.threshold.must_be_less_then",
            "did you mean 'must_be_less_than'?",
        ),
        (
            on_column("{missing: {threshold: {must_be: 0, additional: {levl: warn}}}}"),
            "columns.id.checks.missing.threshold.additional.levl",
            "did you mean 'level'?",
        ),
        (
            on_column("{invalid: {valid_format: {regx: a, name: b}}}"),
            "columns.id.checks.invalid.valid_format.regx",
            "did you mean 'regex'?",
        ),
        (with_check("{missing: }"), "checks.missing", "known here: duplicate, failed_rows, freshness"),
        (GOOD.replace("bigint", "bigin"), "columns.id.data_type", "unknown type 'bigin': did you mean 'bigint'?"),
    ],
)
def test_typo_is_refused_with_file_key_and_nearest_known_key(text: str, place: str, advice: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_contract(text, PATH)
    assert caught.value.message.startswith(f"checks/things.yml: {place}: ")
    assert advice in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a contract is a mapping"),
        ("- a", "a contract is a mapping"),
        ("dataset: [", "not YAML"),
        (ID_COLUMN, "'dataset' is a required property"),
        (GOOD.replace("things", "thongs"), "'lake/main/thongs' has to be 'lake/main/things'"),
        (HEAD + "columns: []\nchecks: [{row_count: }]\n", "name at least one"),
        (GOOD.replace(", checks: [{missing: }]", ""), "checks nothing"),
        (GOOD + "checks: []\n", "should be non-empty"),
        (GOOD.replace(" data_type: bigint,", ""), "columns.id.data_type: missing: known here: bigint"),
        (GOOD.replace("bigint", "string"), "unknown type 'string': did you mean 'varchar'?"),
        (GOOD.replace("bigint", "'decimal(2,3)'"), "unknown type 'decimal(2,3)'"),
        (GOOD.replace("name: id", "name: _seq"), "this name is reserved"),
        (GOOD + "  - {name: ID, data_type: bigint}\n", "two columns have this name"),
        (GOOD + "columns: []\n", "line 4: the key 'columns' appears twice"),
        (on_column("{missing: , duplicate: }"), "exactly one check per list item is needed, found: missing, duplicate"),
        (on_column("{}"), "exactly one check per list item is needed, found: none"),
        (on_column("{missing: }, {missing: }"), "things.id.missing: two checks have this name"),
        (on_column("{invalid: }"), "say what is valid"),
        (on_column("{invalid: {valid_min: '1'}}"), "valid_min: '1' has to be a number"),
        (on_column("{invalid: {valid_values: []}}"), "valid_values: name at least one"),
        (on_column("{invalid: {valid_values: [DE, NO]}}"), "columns.id.checks.invalid.valid_values: False is not"),
        (on_column("{aggregate: {function: mean, threshold: {must_be: 1}}}"), "'mean' is not one of"),
        (on_column("{aggregate: {function: avg, threshold: {}}}"), "say what is allowed"),
        (on_column("{missing: {threshold: {must_be: '0'}}}"), "must_be: '0' has to be a number"),
        (on_column("{missing: {threshold: {must_be: 0, must_be_less_than: 5}}}"), "exactly one comparison is needed"),
        (on_column("{missing: {threshold: {must_be_between: {less_than: 5}}}}"), "needs one `greater_than…`"),
        (
            on_column("{missing: {threshold: {must_be_between: {greater_than: 9, less_than: 5}}}}"),
            "in this order",
        ),
        (
            on_column("{missing: {threshold: {must_be_not_between: {greater_than: 5, less_than: 9}}}}"),
            "outside of that range",
        ),
        (on_column("{missing: {threshold: {level: warning}}}"), "'warning' is not one of ['warn', 'fail']"),
        (on_column("{missing: {threshold: {must_be: 0, additional: {must_be: 1}}}}"), "not a valid combination"),
        (with_check("{metric: {name: m, expression: avg(id)}}"), "needs a `threshold`"),
        (with_check("{row_count: {threshold: {metric: percent, must_be: 1}}}"), "has no percent"),
        (
            with_check("{failed_rows: {name: f, query: select 1, threshold: {metric: percent, must_be: 1}}}"),
            "a percentage needs",
        ),
        (with_check("{failed_rows: {name: f}}"), "not a valid combination"),
        (with_check("{duplicate: {columns: [id, nope]}}"), "no column 'nope'"),
        (with_check("{freshness: {column: nope, threshold: {must_be: 1}}}"), "no column 'nope'"),
        (with_check("{schema: }"), "'schema' is not supported: the schema is always checked"),
        (on_column("{invalid: {valid_reference_data: {dataset: a, column: b}}}"), "declare a reference at the source"),
        (GOOD + "variables: {x: {default: 1}}\n", "'variables' is not supported"),
        (GOOD + "filter: id > ${var.x}\n", "`${` is not supported"),
        (GOOD.replace("data_type", "optional: true, data_type"), "'optional' is not supported"),
    ],
)
def test_contract_that_would_not_be_honoured_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_contract(text, PATH)
    assert caught.value.message.startswith("checks/things.yml: ")
    assert words in caught.value.message


@pytest.mark.parametrize(
    "check",
    [
        "{failed_rows: {name: q, query: select * from things where id = 1}}",
        "{failed_rows: {name: q, keys_query: select id from things, key_column_mapping: {id: id}}}",
        "{metric: {name: q, query: select 1, threshold: {must_be: 1}}}",
    ],
)
def test_filter_of_a_contract_is_refused_with_each_check_that_it_does_not_reach(check: str) -> None:
    parse_contract(with_check(check), PATH)
    reached = "\n  - failed_rows: {name: reached, expression: id = 1}\n"
    with pytest.raises(FileRefused) as caught:
        parse_contract(with_check(check + reached) + "filter: id > 3\n", PATH)
    [fault] = caught.value.faults
    assert "things." in fault.text
    assert "query: the `filter` of the contract does not reach a query" in fault.text


def test_all_faults_of_a_contract_are_told_at_once() -> None:
    text = """
dataset: lake/main/other
filter: id > 3
colums: []
columns:
  - {name: id, data_type: int, checks: [{mising: }, {invalid: {valid_min: '1'}}]}
  - {name: _SEQ, data_type: text}
  - {name: "", data_type: date}
  - {name: ID, data_type: timestamp}
  - {name: price, data_type: "numeric(10, 2)", checks: [{missing: {threshold: {must_be: x}}}]}
checks:
  - row_count:
  - row_count:
  - failed_rows: {name: q, query: select 1}
  - duplicate: {columns: [id, nope]}
"""
    with pytest.raises(FileRefused) as caught:
        parse_contract(text, PATH)
    told = [fault.text for fault in caught.value.faults]
    for words in (
        "colums: unknown key 'colums': did you mean 'columns'?",
        "columns.id.checks.mising: unknown key 'mising': did you mean 'missing'?",
        "dataset: 'lake/main/other' has to be 'lake/main/things', after the file's name",
        "columns.id.data_type: unknown type 'int': did you mean 'bigint'?",
        "columns._SEQ: this name is reserved",
        "columns._SEQ.data_type: unknown type 'text': did you mean 'varchar'?",
        "columns.'': this name is empty",
        "columns.ID: two columns have this name, as id",
        "columns.ID.data_type: unknown type 'timestamp': did you mean 'timestamp with time zone'?",
        "columns.price.data_type: unknown type 'numeric(10, 2)': did you mean 'decimal(10,2)'?",
        "things.id.invalid.valid_min: '1' has to be a number; for the rest use `failed_rows`",
        "things.price.missing.threshold.must_be: 'x' has to be a number",
        "things.row_count: two checks have this name: give one a `qualifier`",
        "things.duplicate.id_nope: the contract has no column 'nope'",
    ):
        assert words in told
    assert any("things.failed_rows.q.query: the `filter`" in fault for fault in told)
    assert len(told) == 15, told
    assert all(fault in caught.value.message for fault in told)


def test_key_with_a_typo_is_one_fault() -> None:
    with pytest.raises(FileRefused) as caught:
        parse_contract(GOOD.replace("dataset", "datasett"), PATH)
    [fault] = caught.value.faults
    assert fault.text == "datasett: unknown key 'datasett': did you mean 'dataset'?"


@pytest.mark.parametrize(
    "name", ["_run_id", "_SEQ", "_Deleted", "_extracted_at", "FILE_ROW_NUMBER", "filename", "_row", "_reason"]
)
def test_reserved_column_is_refused_by_name(name: str) -> None:
    with pytest.raises(UsageError, match=rf"columns\.{name}: this name is reserved"):
        parse_contract(GOOD + f"  - {{name: {name}, data_type: bigint}}\n", PATH)


def test_column_with_nul_is_refused() -> None:
    with pytest.raises(UsageError, match="this name holds a NUL character"):
        parse_contract(GOOD + '  - {name: "a\\0b", data_type: bigint}\n', PATH)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("text", "varchar"),
        ("VARCHAR(255)", "varchar"),
        ("int", "bigint"),
        ("int4", "integer"),
        ("timestamp", "timestamp with time zone"),
        ("timestamptz", "timestamp with time zone"),
        ("float", "double"),
        ("double precision", "double"),
        ("bool", "boolean"),
        ("numeric", "decimal(p,s)"),
        ("NUMBER(12,2)", "decimal(12,2)"),
    ],
)
def test_type_of_another_database_is_told_in_ours(written: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_contract(GOOD.replace("bigint", f"'{written}'"), PATH)
    assert f"did you mean '{meant}'?" in caught.value.message


@pytest.mark.parametrize(
    ("data_type", "rule", "words"),
    [
        ("decimal(12,2)", "valid_values: [12.345]", "12.345 is no decimal(12,2)"),
        ("bigint", "valid_values: [a]", "'a' is text, the column is bigint"),
        ("varchar", "invalid_values: [1.10]", "1.10 is a number, the column is varchar: put it in quotes"),
        ("decimal(38,30)", "valid_max: 12345678901", "has too many digits to be compared with decimal(38,30)"),
        ("double", "valid_max: .inf", "has to be a number"),
    ],
)
def test_number_that_would_not_be_compared_as_written_is_refused(data_type: str, rule: str, words: str) -> None:
    text = f"{HEAD}columns:\n  - {{name: x, data_type: '{data_type}', checks: [{{invalid: {{{rule}}}}}]}}\n"
    with pytest.raises(UsageError) as caught:
        parse_contract(text, PATH)
    assert words in caught.value.message


def test_age_of_what_is_no_time_is_refused() -> None:
    with pytest.raises(UsageError, match="the age of id cannot be told: it is bigint"):
        parse_contract(with_check("{freshness: {column: id, threshold: {must_be_less_than: 1}}}"), PATH)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yml: the contract cannot be read"):
        load_contract(tmp_path / "nowhere.yml")


def test_free_keys_are_taken_where_the_schema_leaves_them_free() -> None:
    parse_contract(on_column("{missing: {attributes: {owner: shop, pri-ority: 1}}}"), PATH)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("bigint", "bigint"),
        ("BIGINT", "bigint"),
        ("Decimal( 12 , 2 )", "decimal(12,2)"),
        ("timestamp  WITH time zone", "timestamp with time zone"),
        ("decimal", None),
        ("decimal(0,0)", None),
        ("decimal(39,2)", None),
        ("timestamp", None),
        ("text", None),
    ],
)
def test_types_have_one_spelling(text: str, normal: str | None) -> None:
    assert normalise_type(text) == normal


def test_reading_a_contract_imports_neither_soda_nor_duckdb() -> None:
    code = (
        "import sys; from pathlib import Path; from dartifact.adapters.contracts.soda import load_contract; "
        f"load_contract(Path({str(CHECKS / 'orders.yml')!r})); "
        "print([m for m in sys.modules if m.split('.')[0] in ('soda_core', 'soda_duckdb', 'duckdb', 'pyarrow')])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKS.parent)
    assert result.stdout.strip() == "[]"
