"""Dead letters that failed alike say of how many events they are, as everybody says it."""

from borough.console.dead_now import dead_now
from borough.ports import TopicFacts
from borough.runtime.dead_letters import DeadGroup
from borough.runtime.topics import HandlerState, TopicState

FACTS = TopicFacts(0, 0, 0, 0, 0, None)
GROUP = DeadGroup("mail.hear", "f1", "ValueError", "", 2, 1.0, 1.0, "no")


def topic(name: str, dead: int, keys: int, heard: int | None) -> TopicState:
    return TopicState(
        name, "7d", FACTS, 0, 0, [HandlerState("mail.hear", 0, keys, dead, keys, heard)]
    )


def test_a_handler_of_several_topics_has_its_dead_letters_of_all_of_them() -> None:
    topics = [topic("orders.Placed", 2, 3, 4), topic("orders.Paid", 1, 1, 4)]
    (found,) = dead_now([GROUP], topics)
    assert (found.of_taken, found.keys) == ("of 4 that it has taken", 4)
    more = [topic("orders.Placed", 2, 3, 4), topic("orders.Paid", 3, 0, 4)]
    (found,) = dead_now([GROUP], more)
    assert found.of_taken == "some of them longer ago than the 4 that it has taken lately"


def test_of_a_handler_whose_events_were_not_counted_nothing_is_said() -> None:
    (found,) = dead_now([GROUP], [topic("orders.Placed", 2, 0, None)])
    assert (found.of_taken, found.keys, found.events) == ("", 0, 2)
    (gone,) = dead_now([GROUP], [])
    assert (gone.of_taken, gone.keys) == ("", 0)
