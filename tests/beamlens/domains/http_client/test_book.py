from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from beamlens.domains.http_client import book as books
from beamlens.domains.http_client.book import Book
from beamlens.domains.http_client.call import Call
from beamlens.probes.call_site import Site
from beamlens_actors import clock
from beamlens_actors.testing import FakeClock


def made(host="shop", path="/orders", took=0.01, status=200, error="", line=1, wait=0.0, retries=0):
    call = Call("urllib3", "GET", host, path, Site("/app/shop.py", line, "buy"))
    call.took, call.first_byte, call.status, call.error = took, took / 2, status, error
    call.pool_wait, call.retries, call.over = wait, retries, True
    return call


HOSTS = st.sampled_from(["a", "b", "c:81"])
ERRORS = st.sampled_from(["", "", "refused", "timeout", "cancelled"])


@given(st.lists(st.tuples(HOSTS, ERRORS, st.integers(0, 3), st.sampled_from([0.0, 0.5])), max_size=60))
def test_sums_over_hosts_and_over_routes_agree_with_the_calls(calls):
    with FakeClock():
        book = Book()
        for host, error, retries, wait in calls:
            book.enter(made(host, f"/{host}/17", error=error, retries=retries, wait=wait))
        for found in (book.hosts(), book.routes()):
            assert sum(tally.count for tally in found.values()) == len(calls)
            kinds = sum((Counter(tally.errors) for tally in found.values()), Counter())
            assert kinds == Counter(error for _, error, _, _ in calls if error not in ("", "cancelled"))
            assert sum(tally.retries for tally in found.values()) == sum(retries for _, _, retries, _ in calls)
            assert sum(tally.waits[0] for tally in found.values()) == sum(wait > 0 for *_, wait in calls)
        assert {host: tally.count for host, tally in book.hosts().items()} == Counter(host for host, *_ in calls)


def test_hosts_and_routes_without_end_are_bounded_and_none_is_lost():
    with FakeClock():
        book = Book()
        for number in range(1000):
            book.enter(made(f"host{number}.example", f"/page{chr(97 + number % 26)}{chr(97 + number // 26)}"))
        hosts, routes = book.hosts(), book.routes()
        assert len(hosts) == books.MOST_HOSTS + 1
        assert len(routes) == books.MOST_ROUTES + 1
        assert hosts[books.OTHER].count == 1000 - books.MOST_HOSTS
        assert sum(tally.count for tally in routes.values()) == 1000


def test_what_rests_for_a_minute_leaves_the_sums_and_makes_room():
    with FakeClock() as clock_:
        book = Book()
        for number in range(books.MOST_HOSTS):
            book.enter(made(f"old{number}"))
        clock_.advance(120)
        assert book.hosts() == {}
        book.enter(made("new"))
        assert list(book.hosts()) == ["new"]


def test_the_slowest_and_the_latest_failures_are_kept():
    with FakeClock() as clock_:
        book = Book()
        for number in range(100):
            book.enter(made(took=number / 100, error="reset" if number % 2 else ""))
        assert [call.took for call in book.slow()][:3] == [0.99, 0.98, 0.97]
        assert len(book.slow()) == 10
        clock_.advance(30)
        late = made(error="dns")
        late.at = clock.time()
        book.enter(late)
        assert book.failed(20.0) == [late]
        assert len(book.failed()) == 51
