from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamlens.errors import ConfigError
from beamlens.redact import Redactor

redactor = Redactor()


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter2 and more", "hunter2"),
        ('{"client_secret": "s3cr3t value"}', "s3cr3t value"),
        ("apiKey: abcdef", "abcdef"),
        ("postgresql://bob:pw123@db:5432/x", "pw123"),
        ("Authorization: Bearer abcdef.ghijkl", "abcdef.ghijkl"),
        ("key sk-ant-api03-abcdefghijklmnop", "sk-ant-api03-abcdefghijklmnop"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
        ("ghp_0123456789abcdefghij0123", "ghp_0123456789abcdefghij0123"),
        ("eyJhbGciOi.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4", "eyJzdWIiOiIx"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "MIIE"),
        ("mail to anna.b@example.org now", "anna.b@example.org"),
        ("card 4111 1111 1111 1111", "4111 1111 1111 1111"),
        ("DB_PASSWORD='a b c' x", "a b c"),
        ('{"a": "{\\"password\\": \\"in JSON in JSON\\"}"}', "in JSON in JSON"),
        ("--api-key abc123 --verbose", "abc123"),
        ("Cookie: a=b; c=d", "c=d"),
        ("('authorization', 'Bearer x.y_z12345')", "x.y_z12345"),
        ("https://bob:p/w@host/x", "p/w"),
        ("redis://:pw@host", "pw"),
        ("os.environ['AWS_SECRET_ACCESS_KEY'] = 'wJalr/XUt'", "wJalr"),
        ("pwd=1234567", "1234567"),
        ("passwords: ['one', 'two']", "two"),
        ("https://blob/a?sv=1&sig=abc%2F", "abc%2F"),
        ("sk_live_0123456789abcdef", "0123456789abcdef"),
        ("PGPASSWORD=abc psql", "abc"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEabc, and the end was cut off", "MIIEabc"),
        ("connectionString=Server=a;Password=b", "Password=b"),
    ],
)
def test_a_secret_is_taken_out(text, secret):
    assert secret not in redactor.text(text)
    assert "[redacted:" in redactor.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "/srv/app/tokens.py:42 in refresh",
        "trace 0123456789abcdef0123456789abcdef",
        "input_tokens=100",
        "host db-1.internal 10.0.0.1:5432",
        "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
        "order 1234567890123 took 12.5 ms",
        "max_tokens: 4096",
        "password_file=/etc/x",
        "the password is wrong",
        "basic_auth_enabled=true",
        "secretary=anna",
        "monkey=5",
        "timestamp 1763711111111",
        "a basic understanding",
        "Bearer of bad news",
        "key=users:5",
        "authentication failed for user",
        "https://host:8080/a@b",
        "assert tokens == 5",
    ],
)
def test_what_is_no_secret_stays(text):
    assert redactor.text(text) == text


def test_values_under_secret_keys_are_taken_out_of_json():
    value = {"db_password": "x", "tokens": 5, "rows": [{"note": "password=y"}]}
    assert redactor.value(value) == {
        "db_password": "[redacted:secret]",
        "tokens": 5,
        "rows": [{"note": "password=[redacted:secret]"}],
    }


def test_keys_that_differ_in_a_secret_only_are_both_kept():
    value = {"a@example.org": 1, "b@example.org": 2}
    assert redactor.value(value) == {"[redacted:e-mail]": 1, "[redacted:e-mail] (2)": 2}


def test_all_that_stands_under_a_secret_key_is_hidden_but_flags_and_counts():
    value = {"credentials": {"user": "anna", "pins": [1234, "x"], "valid": True, "none": None}, "tokens": 1200}
    hidden = "[redacted:secret]"
    assert redactor.value(value) == {
        "credentials": {"user": hidden, "pins": [1234, hidden], "valid": True, "none": None},
        "tokens": 1200,
    }


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "is not a regular expression"),
        (5, "is not a regular expression"),
        (b"x", "for bytes"),
        ("x*", "the empty text"),
    ],
)
def test_a_pattern_that_would_not_work_is_refused_by_its_index(pattern, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Redactor(["good", pattern])
    assert caught.value.field == "redact[1]"


def test_patterns_of_ones_own_are_applied():
    assert Redactor([r"\bK\d{3}\b", re.compile("zebra")]).text("K123 zebra") == "[redacted:custom] [redacted:custom]"


def test_a_pattern_that_is_none_is_named():
    with pytest.raises(ConfigError, match=r"redact\[1\]") as caught:
        Redactor(["fine", "("])
    assert caught.value.field == "redact[1]"


def test_one_string_instead_of_a_list_is_refused():
    with pytest.raises(ConfigError, match="must be a list"):
        Redactor("secret")


@given(st.text(st.sampled_from("abc=:@/.- 0123456789'\"{}[]password token\n"), max_size=300))
def test_redacting_twice_changes_nothing_more(text):
    once = redactor.text(text)
    assert redactor.text(once) == once


@pytest.mark.parametrize("part", ["a" * 50, "1 " * 20, "password=", "eyJ", "://x:", "-----BEGIN PRIVATE KEY-----", "@"])
def test_long_hostile_text_is_done_in_time(part):
    text = part * (400_000 // len(part))
    assert isinstance(redactor.text(text), str)
