"""Observations that are true of some evidence, and such that are not, for the three domains that are always there."""

from __future__ import annotations

from beamlens.domains import ExceptionDomain, LoggerDomain, RuntimeDomain
from beamlens.findings.facts import Pool

RUNTIME_SNAPSHOTS = [
    {
        "memory_mb": 450.37,
        "memory_utilization_pct": 44.1,
        "thread_count": 45,
        "thread_utilization_pct": 4.5,
        "descriptor_count": 512,
        "descriptor_utilization_pct": 50.0,
        "gil_wait_pct": 3.1,
        "gil_contention_ms": 0.4,
        "gil_stall_ms": 1.7,
        "memory_limit_mb": 1024.0,
        "thread_limit": 1000,
        "descriptor_limit": 1024,
        "cores": 2,
        "run_queue_ms": 8.25,
        "cpu_pct": 12.4,
    },
    {
        "memory_mb": 612.81,
        "memory_utilization_pct": 59.8,
        "thread_count": 47,
        "thread_utilization_pct": 4.7,
        "descriptor_count": 987,
        "descriptor_utilization_pct": 96.4,
        "gil_wait_pct": 71.9,
        "gil_contention_ms": 21.5,
        "gil_stall_ms": 640.2,
        "memory_limit_mb": 1024.0,
        "thread_limit": 1000,
        "descriptor_limit": 1024,
        "cores": 2,
        "run_queue_ms": 152.7,
        "cpu_pct": 97.6,
    },
]
RUNTIME_RESULTS = [
    {
        "rss_bytes": 612_810_000,
        "top_types": [{"type": "Order", "count": 1_431_000, "mb": 343.4}, {"type": "str", "count": 90_112, "mb": 8.1}],
    },
    [
        {"thread": "pool-3", "cpu_pct": 61.2, "function": "render"},
        {"thread": "MainThread", "cpu_pct": 30.4, "function": "serve"},
    ],
]
RUNTIME_TEXTS = [
    "memory_mb grew by 13 MB/s for 12.5 s",
    "343 MB of the growth are 1431000 Order objects made at shop/cart.py:88",
]

LOGGER_SNAPSHOTS = [
    {
        "total_count_1m": 1410,
        "error_count_1m": 2,
        "warning_count_1m": 11,
        "error_rate_pct": 0.14,
        "unique_error_modules": 1,
        "records_held": 980,
        "ring_size": 1000,
        "dropped": 0,
    },
    {
        "total_count_1m": 1620,
        "error_count_1m": 37,
        "warning_count_1m": 64,
        "error_rate_pct": 2.28,
        "unique_error_modules": 3,
        "records_held": 1000,
        "ring_size": 1000,
        "dropped": 612,
    },
]
LOGGER_RESULTS = [
    [
        {"module": "shop.pay", "records": 320, "errors": 23, "error_rate_pct": 7.19},
        {"module": "shop.stock", "records": 800, "errors": 12, "error_rate_pct": 1.5},
        {"module": "shop.mail", "records": 500, "errors": 2, "error_rate_pct": 0.4},
    ],
    [{"level": "ERROR", "message": "no answer from 10.0.0.7:5432 after 2.5 s, memory is 700 MB, retry 4 of 5"}],
]
LOGGER_TEXTS = [
    "error_count_1m is 37 records, at or above 20 records for 4 s",
    "23 of 37 error records in the last 30 s come from shop/pay.py:42: TimeoutError (23)",
]

EXCEPTION_SNAPSHOTS = [
    {"total_5m": 14, "unique_types": 2, "by_kind": {"error": 14, "exit": 0, "throw": 0}, "dropped": 0},
    {
        "total_5m": 260,
        "unique_types": 4,
        "by_kind": {"error": 255, "exit": 4, "throw": 1},
        "by_level": {"unhandled": 9, "handled": 251},
        "top_types": [{"type": "KeyError", "count": 201}, {"type": "TimeoutError", "count": 40}],
        "dropped": 33,
    },
]
EXCEPTION_RESULTS = [
    {"by_type": {"KeyError": 201, "TimeoutError": 40, "OSError": 15, "SystemExit": 4}},
    [{"type": "KeyError", "message": "'total'", "at": "shop/cart.py:12", "count": 198}],
]
EXCEPTION_TEXTS = [
    "198 of 201 KeyErrors were raised at shop/cart.py:12 in the last 40 s",
    "4.3 exceptions per second, 15 times as many as before",
]

TRUE = {
    "runtime": """\
Memory is 612.8 MB.
Memory is 613 MB, 162 MB more than 12.5 s before.
The memory is 0.613 GB of 1.02 GB.
memory_mb is 612.81, up from 450.37.
Memory: 613 MB.
memory_mb=613
Memory was 450 MB and is now 613 MB.
Memory rose to 612.8 MB.
Resident memory rose from 450 MB to 613 MB (+36 %).
Memory is 162 MB higher than before.
Memory is 584 MiB.
Memory is 343 MB of Order objects for the most part.
Process memory is at 612,810,000 bytes.
Memory is 612 810 000 bytes.
Memory is 612 810 000 bytes, of which 343 MB are Orders.
Memory is about 600 MB.
Memory usage is 59.8 % of the limit.
Memory utilization is 59.8 %.
The memory limit is 1024 MB.
Peak memory in the heap of Orders is 343.4 MB.
There are 1 431 000 Order objects.
There are 1\u202f431\u202f000 Order objects, 1.43 million.
There are 1\u00a0431\u00a0000 Order objects.
There are 1\u2009431\u2009000 Order objects.
There are 1'431'000 Order objects.
Order takes 343.4 MB, str 8.1 MB, in 1431000 and 90112 objects.
987 of 1024 descriptors are open, 475 more than before.
descriptor_count is 987, its limit 1024.
The descriptor count is 987.
The descriptor count rose from 512 to 987.
The descriptor count is 37 below the limit of 1024.
Descriptor utilization is 96.4 %.
There are 47 threads, 2 more than before, on 2 cores.
Thread count: 47; thread limit: 1000.
The thread count is 47, which is 4.7 % of 1000.
CPU is 97.6 %.
CPU usage is 98 %, up from 12 %.
The CPU is at 97.6 %, 85 points more than before.
cpu_pct is 97.6, and pool-3 alone has 61.2 %.
CPU of pool-3 is 61.2 %, of MainThread 30.4 %.
In pool-3 the CPU is 61 %.
In MainThread, CPU is 30.4 %.
The GIL wait is 72 %, a stall lasted 640 ms.
GIL stall was 640.2 ms, contention 21.5 ms.
The run queue delay is 153 ms, more than 18 times the 8 ms before.
The run queue is 0.153 s.
Run queue delay is 144 ms longer than before.
Growth is 13 MB/s for 12.5 s.
Memory grew by 162 MB within 12.5 s; cores: 2.
RSS is 613 MB (59.8 % of the 1024 MB limit) and grows by 13 MB/s.
memory_mb went from 450.37 to 612.81 between the two snapshots.
memory_mb = 612.81 MB; memory_utilization_pct = 59.8 %; cpu_pct = 97.6 %.
The snapshot shows memory_mb: 612.81, thread_count: 47, descriptor_count: 987, cpu_pct: 97.6.
memory_utilization_pct is 59.8 %, descriptor_utilization_pct is 96.4 %.
The process holds 987 descriptors; the descriptor limit is 1024.
The thread count is only 47 of 1000.
CPU is 97.6 % and run queue delay 152.7 ms.
The CPU is 61 % in render and 30 % in serve.
Memory is 612.8 MB of the 1,024 MB available.
cpu_pct of pool-3 is 61.2.
CPU: 97.6 %, GIL wait: 71.9 %, GIL stall: 640 ms.
Memory is 411 MB below its limit.
Memory is 411 MB short of the limit.
Memory is at 60 % of its limit.
The memory is 0.6 of its limit.
The GIL wait went up from 3 % to 72 %.
The run queue delay was 8 ms before and is 153 ms now.
Memory (612.81 MB) is 36 % above the 450 MB of the first snapshot.
The memory that Orders hold is 343 MB.
Memory held by Orders is 343.4 MB, and by strings 8.1 MB.
The thread count is up by 2 to 47.
Descriptor count: 987/1024.
Memory is growing: 450 MB, then 613 MB.
The GIL stall of 640 ms is 377 times the 1.7 ms before.
CPU usage rose by 85.2 points to 97.6 %.
The process has 2 cores, and its CPU is 97.6 %.
cpu_pct=97.6, run_queue_ms=152.7, gil_wait_pct=71.9
The memory was 450 MB 12.5 s before.""",
    "logger": """\
37 errors among 1620 records in the last minute, 2.3 %.
The error count is 37, up from 2.
error_count_1m is 37 (was 2), at or above 20.
error_count_1m rose from 2 to 37.
The error rate is 2.28 %.
The error rate is 2.3 %, about 16 times as high as before.
In shop.pay the error rate is 7.2 %.
In shop.pay, the error rate is 7.19 %; in shop.stock it is 1.5 %.
The error rate is 7.19 % in shop.pay.
23 of 37 errors (62 %) come from shop/pay.py:42: TimeoutError.
The error count is 23 in shop.pay and 12 in shop.stock.
The error count is 35 higher than before.
The warning count is 64, 53 more than before.
Warning count: 64.
1620 records a minute, 210 more than before.
1 620 records in the last minute.
There were 1 620 records, 37 of them errors.
The ring holds 1000 records and has dropped 612.
dropped is 612.
records_held is 1000, ring_size 1000.
Ring size is 1000.
3 loggers had errors: shop.pay 23, shop.stock 12, shop.mail 2.
unique_error_modules is 3.
The log says: memory is 700 MB.
Memory is 700 MB according to the log.
No answer after 2.5 s, retry 4 of 5.
shop.pay has 320 records, 23 of them errors, i.e. 7.2 %.
total_count_1m is 1620, total_count_1m was 1410.
37 errors at 1 620 records a minute.
Of 1,620 records 64 were warnings and 37 errors.
error_count_1m=37, warning_count_1m=64, total_count_1m=1620
The error rate is 2.28 % overall, but 7.19 % in shop.pay.
The error rate is 7.2 % among the records of shop.pay.
For shop.mail the error rate is 0.4 %.
Error count: 37 (shop.pay: 23, shop.stock: 12, shop.mail: 2).
The error count is 37, i.e. 2.28 % of 1620.
The error count was 2 and is 37 now, 18.5 times as high.
The error count of shop.pay is 23.
Its error count is 23.
The warning count was 11 and is 64.
The total count is 1620.
Records held are 1000, the ring size.
The ring is full (1000 of 1000) and dropped 612 records.
62 % of the errors (23 of 37) are TimeoutErrors after 2.5 s.
error_rate_pct is 2.28 because error_count_1m is 37 and total_count_1m is 1620.
total_count_1m rose by 210 to 1620.""",
    "exception": """\
260 exceptions in the last five minutes, 246 more than before.
total_5m is 260, up from 14.
total_5m rose from 14 to 260.
KeyError 201 times, TimeoutError 40 times.
201 of 260 exceptions (77 %) are KeyErrors.
198 of 201 KeyErrors come from shop/cart.py:12.
9 were unhandled, 251 handled.
by_kind: 255 errors, 4 exits, 1 throw.
unique_types is 4.
There are 4 types of exceptions: KeyError (201), TimeoutError (40), OSError (15), SystemExit (4).
33 were dropped.
dropped is 33.
dropped = 33 since the ring is full.
4.3 exceptions per second.
15 times as many as before.
Unique types: 4.
In the last 40 s KeyErrors were raised at one place, 198 of them.
The total is 260.
The rate is 4.3 per second, 15 times as many as before.
KeyError: 201; TimeoutError: 40.
total_5m=260, unique_types=4, dropped=33
The number of unique types is 4.
unique_types rose from 2 to 4.
KeyError makes up 77 % (201 of 260).
total_5m is 260; top_types: KeyError 201, TimeoutError 40.
255 of kind error, 4 exits, 1 throw.
dropped is 33, so the ring is full.
The total rose from 14 to 260, by 246.
251 of 260 were handled.
40 TimeoutErrors and 201 KeyErrors, 241 together.""",
}

FALSE = {
    "runtime": """\
Memory is 512 MB.
Memory is 987 MB.
memory_mb is 512.
memory_mb=987
The memory is 152.7 MB.
Memory is 1024 MB.
Memory rose to 987 MB.
Resident memory rose to 1.02 GB.
Memory (512 MB) grows.
Memory is 640 MB.
Memory is about 512 MB.
memory_mb is 700 MB, I believe.
The thread count is 512.
The thread count is 987, an all-time high.
thread_count is 1024.
Thread count: 45 000.
CPU is 71.9 %.
CPU usage is 59.8 %.
cpu_pct is 44.1.
CPU reached 96.4 %.
The GIL wait is 97.6 %.
GIL stall was 152.7 ms.
The run queue delay is 640 ms.
The run queue is 21.5 ms.
The descriptor count is 47.
descriptor_count is 1000.
Descriptor utilization is 59.8 %.
Memory utilization is 96.4 %.
The memory limit is 612 MB.
There are 1 431 500 Order objects.
There are 143 100 Order objects.
Memory grew by 250 MB.
Growth is 45 MB/s.
There are 48 threads.
Order takes 434.3 MB.
Memory is 613 GB.
The descriptor limit is 987.
cores is 47.
The snapshot shows memory_mb: 612.81, thread_count: 987.
Memory stands at 987 MB.
CPU is now 71.9 %.
The CPU is currently at 59.8 %.
GIL wait: 96.4 %.
Memory fell to 152.7 MB.
gil_stall_ms is 152.7.
run_queue_ms=640.2
descriptor_count=512, thread_count=512
the memory was 987 MB, which is close to the limit
Process memory is 512 MB and growing.
thread_utilization_pct is 96.4 %.
The thread limit is 1024.
Memory climbed to 640 MB.
Memory = 987 MB""",
    "logger": """\
The error count is 64.
error_count_1m is 612.
error_count_1m is 1000.
The error count is 11, mostly from shop.pay.
The warning count is 37.
warning_count_1m rose to 1620.
The error rate is 12 %.
records_held is 1620.
dropped is 1000.
ring_size is 1620.
total_count_1m is 1000.
unique_error_modules is 64.
97 errors in the last minute.
24 of 37 errors come from shop.pay.
1 260 records in the last minute.
The error rate is 22.8 %.
The ring has dropped 621.
No answer after 5.2 s.
shop.pay has 230 records.
Warning count: 980.
warning_count_1m is 1620, error_count_1m is 37.
Warning count: 612.
ring_size is 980.
The ring size is 1620.
records_held=612
The error count rose to 64.
total_count_1m was 980.""",
    "exception": """\
total_5m is 33.
total_5m is 201.
unique_types is 260.
Unique types: 33.
dropped is 260.
dropped = 4
206 exceptions in the last five minutes.
KeyError 210 times.
TimeoutError 41 times.
189 of 201 KeyErrors come from one place.
8 were unhandled.
5.3 exceptions per second.
25 times as many as before.
There are 7 types of exceptions.
34 were dropped.
dropped was 14.
unique_types is 33.
total_5m = 4.
Unique types: 14""",
}

# What passes although it is false: the number is in what may be meant as well, a text or a row of a result.
PASSES = {
    "The warning count is 37.",  # "23 of 37 error records"
    "The error rate is 12 %.",  # a module's 12 errors
    "total_5m is 201.",  # a row's count
    "dropped = 4",
    "dropped was 14.",
    "total_5m = 4.",
    "Unique types: 14",
}

_EVIDENCE = {
    "runtime": (RuntimeDomain, RUNTIME_SNAPSHOTS, RUNTIME_RESULTS, RUNTIME_TEXTS),
    "logger": (LoggerDomain, LOGGER_SNAPSHOTS, LOGGER_RESULTS, LOGGER_TEXTS),
    "exception": (ExceptionDomain, EXCEPTION_SNAPSHOTS, EXCEPTION_RESULTS, EXCEPTION_TEXTS),
}


def evidence(name):
    """What a look at a domain had seen, with its declared metrics and bounds."""
    domain, snapshots, results, texts = _EVIDENCE[name]
    pool = Pool({metric.name: metric.unit for metric in domain.metrics})
    for index, data in enumerate(snapshots):
        pool.add_snapshot(data, 1000.0 + 12.5 * index)
    for metric in domain.metrics:
        pool.add_text(metric.description)
        for bound in (metric.low, metric.high, metric.critical):
            if bound is not None:
                pool.add_bound(metric.name, bound, snapshots[-1][metric.name])
    for text in texts:
        pool.add_text(text)
    for result in results:
        pool.add(result)
    return pool


def observations(corpus):
    """Domain and sentence of each observation."""
    return [(name, sentence) for name, text in corpus.items() for sentence in text.splitlines()]
