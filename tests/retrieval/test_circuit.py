"""The circuit breaker, with a clock that the test turns."""

from __future__ import annotations

from skill0.retrieval.circuit import Circuit


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_it_opens_after_enough_failures_over_enough_time():
    clock = Clock()
    circuit = Circuit(3, outage_s=10, pause_s=2, clock=clock)
    for _ in range(5):
        circuit.failed("refused")
    assert not circuit.open, "five threads that fail in the same second are no outage"
    clock.now += 9.9
    circuit.failed("refused")
    assert not circuit.open
    clock.now += 0.1
    circuit.failed("refused")
    assert circuit.open
    assert circuit.failing_s == 10.0


def test_a_long_time_with_few_failures_does_not_open_it():
    clock = Clock()
    circuit = Circuit(3, outage_s=10, pause_s=2, clock=clock)
    circuit.failed("refused")
    clock.now += 60
    circuit.failed("refused")
    assert not circuit.open
    circuit.failed("refused")
    assert circuit.open


def test_one_success_closes_it():
    circuit = Circuit(1, outage_s=0, pause_s=2, clock=Clock())
    circuit.failed("refused")
    assert circuit.open
    circuit.succeeded()
    assert not circuit.open
    assert circuit.ready()
    assert circuit.failing_s == 0.0


def test_while_failing_one_caller_probes_after_every_pause():
    clock = Clock()
    circuit = Circuit(1, outage_s=0, pause_s=2, clock=clock)
    assert circuit.ready()
    circuit.failed("refused")
    assert not circuit.ready()
    clock.now += 2
    assert circuit.ready()
    assert not circuit.ready(), "the probe is taken"
    clock.now += 2
    assert circuit.ready(), "a probe of which nothing was heard does not block the next"


def test_a_server_that_asks_to_wait_is_probed_when_it_said():
    clock = Clock()
    circuit = Circuit(3, outage_s=10, pause_s=2, clock=clock)
    circuit.failed("busy", retry_after_s=5)
    clock.now += 4
    assert circuit.asked_to_wait_s == 1.0
    assert not circuit.ready()
    clock.now += 1
    assert circuit.asked_to_wait_s == 0.0
    assert circuit.ready()
    circuit.failed("refused")
    assert circuit.asked_to_wait_s == 0.0, "a server that only fails asks for nothing"
