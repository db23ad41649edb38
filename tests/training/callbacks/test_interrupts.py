"""Ctrl-C while the last epoch is made up after Ctrl-C."""

import signal
import threading

import pytest

from segtrace.training.callbacks.interrupts import once_more_leaves


def test_once_more_ends_the_work_and_nothing_else():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning leaves it
    done = []
    try:
        with once_more_leaves(KeyboardInterrupt()):
            done.append("begun")
            signal.raise_signal(signal.SIGINT)
            done.append("ended")
        assert done == ["begun"]
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_goes_wrong_meanwhile_is_seen():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), once_more_leaves(KeyboardInterrupt()):
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) is before


def test_a_training_in_a_thread_of_its_own_is_left_alone():
    done = []

    def work():
        with once_more_leaves(KeyboardInterrupt()):
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]


def test_whoever_works_on_after_a_stop_is_not_stopped_by_it_once_more():
    heeded = []
    stop = KeyboardInterrupt()
    stop.heed = lambda: heeded.append(True)
    with once_more_leaves(stop):
        assert heeded == [True]
