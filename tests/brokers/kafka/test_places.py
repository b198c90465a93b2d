"""A reading begins where nothing is left out, whatever Kafka still knows of the position."""

from borough.brokers.kafka.places import Start, start_of

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
