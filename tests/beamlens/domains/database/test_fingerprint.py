from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.database.fingerprint import MOST_TEXT, Fingerprints, is_read, source


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("SELECT * FROM t WHERE id = 17", "SELECT * FROM t WHERE id = ?"),
        ("SELECT * FROM t1 WHERE a_2 = -1.5e3", "SELECT * FROM t1 WHERE a_2 = -?"),
        ("SELECT  *\n\tFROM t -- 'it''s'\n WHERE x = 'O''Hara';", "SELECT * FROM t WHERE x = ?"),
        ("/* route: /users/17 */ SELECT 1", "SELECT ?"),
        ("SELECT * FROM t WHERE id IN (%(id_1)s::INTEGER, %(id_2)s::INTEGER)", "SELECT * FROM t WHERE id IN (?)"),
        ("SELECT * FROM t WHERE id IN (1,2, 3 , 4)", "SELECT * FROM t WHERE id IN (?)"),
        ("INSERT INTO t (a, b) VALUES (?, ?), (?, ?)", "INSERT INTO t (a, b) VALUES (?)"),
        ("SELECT $$it's$$, $tag$a$$b$tag$, a$1 FROM t", "SELECT ?, ?, a$1 FROM t"),
        (r"SELECT E'it\'s', 'x' FROM t", "SELECT ?, ? FROM t"),
        (r"SELECT 'C:\', 'secret'", "SELECT ?, ?"),
        ("SELECT x::text FROM t WHERE y = :name AND z = $2", "SELECT x::text FROM t WHERE y = ? AND z = ?"),
        ("SAVEPOINT sa_savepoint_12", "SAVEPOINT sa_savepoint_?"),
        ('SELECT "order" FROM "user"', 'SELECT "order" FROM "user"'),
        ("SELECT 'never closed", "SELECT ?"),
    ],
)
def test_statements_that_differ_in_literals_lists_and_comments_only_are_one(statement, expected):
    assert Fingerprints("postgresql").of(statement) == expected


def test_double_quotes_hold_strings_in_mysql_and_maybe_in_sqlite():
    assert Fingerprints("mysql").of(r'SELECT "secret", "it\"s" FROM `t` # why') == "SELECT ?, ? FROM `t`"
    text = 'SELECT "a" FROM t WHERE b = "secret" AND t."c" LIKE "x%" AND d IN ("y", "z")'
    assert Fingerprints("sqlite").of(text) == 'SELECT "a" FROM t WHERE b = ? AND t."c" LIKE ? AND d IN (?)'


@given(st.text(min_size=3, max_size=60), st.sampled_from(["postgresql", "mysql", "sqlite"]))
def test_a_quoted_literal_never_shows(secret, dialect):
    quoted = secret.replace("'", "''")
    if dialect == "mysql":
        quoted = quoted.replace("\\", "\\\\")
    found = Fingerprints(dialect).of(f"SELECT a FROM t WHERE b = '{quoted}' AND c = 'second'")
    assert found == "SELECT a FROM t WHERE b = ? AND c = ?"


@given(st.text(max_size=300))
def test_any_text_has_a_fingerprint_that_is_bounded(text):
    prints = Fingerprints("postgresql")
    found = prints.of(text)
    assert found == prints.of(text)
    assert len(found) <= 600


def test_a_long_statement_keeps_its_end_which_tells_it_apart():
    columns = ", ".join(f"a_long_column_name_{name}" for name in range(100))
    first, second = (Fingerprints().of(f"SELECT {columns} FROM t WHERE {name} = 1") for name in ("a", "b"))
    assert first.endswith("FROM t WHERE a = ?")
    assert first != second


def test_what_it_remembers_is_bounded():
    prints = Fingerprints()
    for number in range(3000):
        prints.of(f"SELECT {number} FROM t{number}" + "x" * 2 * MOST_TEXT)
    assert len(prints._known) <= 1024
    assert max(map(len, prints._known.values())) <= 600
    assert {type(key) for key in prints._known} == {int}  # no text, which may hold literals


@pytest.mark.parametrize(
    ("statement", "table", "read"),
    [
        ("SELECT 1", None, True),
        ('SELECT a FROM ONLY public."order" JOIN b', "public.order", True),
        ("WITH x AS (SELECT ? FROM y) SELECT ?", "y", True),
        ("INSERT INTO orders (a) VALUES (?)", "orders", False),
        ("UPDATE t SET a = ?", "t", False),
        ("DELETE FROM t", "t", False),
    ],
)
def test_the_first_table_and_whether_it_reads(statement, table, read):
    assert source(statement) == table
    assert is_read(statement) is read
