"""The queue of deadlines: what is due, in which order, and that forgotten or postponed items never surface early."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lockmanager_node.deadlines import DeadlineQueue


def queue_of(**deadlines: int) -> DeadlineQueue[str]:
    queue: DeadlineQueue[str] = DeadlineQueue()
    for item, deadline in deadlines.items():
        queue.set(item, deadline)
    return queue


def drained(queue: DeadlineQueue[str], now: int) -> list[str]:
    items = []
    while (item := queue.pop_due(now)) is not None:
        items.append(item)
    return items


def test_an_empty_queue_has_nothing_due_and_no_next_deadline() -> None:
    queue = queue_of()
    assert (queue.next(), queue.pop_due(1_000), len(queue)) == (None, None, 0)


def test_items_come_out_in_the_order_of_their_deadlines() -> None:
    assert drained(queue_of(late=30, early=10, middle=20), now=30) == ["early", "middle", "late"]


def test_items_of_one_deadline_come_out_in_the_order_they_went_in() -> None:
    assert drained(queue_of(b=10, a=10, c=10), now=10) == ["b", "a", "c"]


def test_an_item_is_due_at_its_deadline_and_not_before() -> None:
    queue = queue_of(a=10)
    assert queue.pop_due(9) is None
    assert queue.pop_due(10) == "a"


def test_an_item_that_was_taken_out_is_gone() -> None:
    queue = queue_of(a=10)
    queue.pop_due(10)
    assert "a" not in queue
    assert (len(queue), queue.next()) == (0, None)


def test_a_postponed_item_is_due_only_at_its_new_deadline() -> None:
    queue = queue_of(a=10, b=15)
    queue.set("a", 20)
    assert queue.next() == 15
    assert drained(queue, now=19) == ["b"]
    assert drained(queue, now=20) == ["a"]


def test_an_item_can_be_given_an_earlier_deadline_and_comes_out_once() -> None:
    queue = queue_of(a=20)
    queue.set("a", 10)
    assert queue.next() == 10
    assert drained(queue, now=30) == ["a"]


def test_an_item_set_again_after_it_was_due_leaves_no_trace_of_its_old_deadlines() -> None:
    queue = queue_of(a=20)
    queue.set("a", 10)
    assert queue.pop_due(10) == "a"
    queue.set("a", 30)
    assert queue.pop_due(29) is None
    assert drained(queue, now=30) == ["a"]


def test_bringing_forward_never_postpones() -> None:
    queue = queue_of(a=20)
    queue.bring_forward("a", 30)
    assert queue.next() == 20
    queue.bring_forward("a", 10)
    assert queue.next() == 10
    queue.bring_forward("new", 5)
    assert queue.next() == 5


def test_a_discarded_item_never_comes_out() -> None:
    queue = queue_of(a=10, b=20)
    queue.discard("a")
    assert queue.next() == 20
    assert drained(queue, now=20) == ["b"]


def test_discarding_an_unknown_item_changes_nothing() -> None:
    queue = queue_of(a=10)
    queue.discard("stranger")
    assert drained(queue, now=10) == ["a"]


def test_memory_is_bounded_by_the_items_that_stand_not_by_those_that_went() -> None:
    queue = queue_of(keeper=10_000)
    for n in range(1_000):
        queue.set(f"passing {n}", 5_000)
        queue.discard(f"passing {n}")
    assert len(queue._heap) < 100
    queue.set("newcomer", 10_000)
    assert drained(queue, now=10_000) == ["keeper", "newcomer"]


_steps = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "bring_forward", "discard", "pop_due"]),
        st.sampled_from("abcdef"),
        st.integers(0, 50),
    ),
    max_size=300,
)


@settings(deadline=None, derandomize=True)
@given(_steps)
def test_it_agrees_with_a_plain_dictionary_after_any_steps(steps: list[tuple[str, str, int]]) -> None:
    queue, model = queue_of(), dict[str, int]()
    for verb, item, at in steps:
        if verb == "set":
            queue.set(item, at)
            model[item] = at
        elif verb == "bring_forward":
            queue.bring_forward(item, at)
            model[item] = min(at, model.get(item, at))
        elif verb == "discard":
            queue.discard(item)
            model.pop(item, None)
        else:
            taken = queue.pop_due(at)
            earliest = min(model.values(), default=None)
            assert (taken is not None) == (earliest is not None and earliest <= at)
            assert taken is None or model.pop(taken) == earliest
        assert queue.next() == min(model.values(), default=None)
        assert len(queue) == len(model)
