"""A reading begins where nothing is left out, whatever Kafka still knows of the position."""

from borough.brokers.kafka.places import Start, places_text, read_places, start_of

LOW = {0: 10, 1: 20}
HIGH = {0: 110, 1: 120}


def test_committed_offsets_are_where_a_reading_goes_on() -> None:
    assert start_of(100, LOW, HIGH, {0: 40, 1: 60}) == Start({0: 40, 1: 60})


def test_offsets_behind_the_position_are_taken_too_and_the_inbox_knows_the_rest() -> None:
    assert start_of(100, LOW, HIGH, {0: 40, 1: 50}).position == 90


def test_offsets_ahead_of_a_database_that_was_restored_are_not_believed() -> None:
    start = start_of(100, LOW, HIGH, {0: 60, 1: 60})
    assert start.offsets == LOW
    assert start.is_lost
    assert start.skip_to == 100


def test_a_projection_that_is_rebuilt_begins_with_the_earliest_event() -> None:
    assert start_of(30, LOW, HIGH, {0: 60, 1: 60}) == Start(LOW)


def test_a_partition_that_was_added_is_read_from_its_beginning() -> None:
    assert start_of(100, LOW, HIGH, {0: 40}).offsets == {0: 40, 1: 20}


def test_what_retention_has_removed_is_counted() -> None:
    start = start_of(100, LOW, HIGH, {0: 5, 1: 60})
    assert start == Start({0: 10, 1: 60}, missed=5)
    assert start_of(0, LOW, HIGH, {}).missed == 30


def test_a_topic_that_is_shorter_than_what_was_read_is_read_from_its_beginning() -> None:
    assert start_of(900, LOW, HIGH, {}).offsets == LOW
    assert start_of(900, LOW, HIGH, {0: 400, 1: 500}).offsets == LOW


def test_what_was_noted_with_the_position_is_believed_though_the_cluster_has_forgotten_it() -> None:
    noted = read_places(100, places_text(100, {0: 40, 1: 60}))
    assert start_of(100, LOW, HIGH, {}, noted) == Start({0: 40, 1: 60})
    assert start_of(100, LOW, HIGH, {0: 40}, noted) == Start({0: 40, 1: 60})
    assert start_of(100, {**LOW, 2: 0}, {**HIGH, 2: 9}, {}, noted).offsets == {0: 40, 1: 60, 2: 0}


def test_a_count_of_which_nothing_says_that_it_is_of_this_topic_passes_over_nothing() -> None:
    assert start_of(100, LOW, HIGH, {}, read_places(100, "asked")) == Start(LOW)
    assert start_of(100, LOW, HIGH, {0: 40, 1: 60}, read_places(100, "")) == Start({0: 40, 1: 60})


def test_offsets_of_another_position_are_not_believed() -> None:
    assert read_places(101, places_text(100, {0: 40, 1: 60})) == {}
    assert read_places(0, "") == {}
