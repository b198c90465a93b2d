"""What Borough guarantees, as data: each guarantee has an id, a sentence, and the tests that prove it.

Ports have suites that an adapter passes by itself; the suite of promises tries the whole, a store and a
broker together. Every test of a suite proves one guarantee, so that a broken one can be told by its id.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from borough.testing.conformance.broker import BrokerConformance
from borough.testing.conformance.promise import PromiseConformance
from borough.testing.conformance.store import StoreConformance
from borough.testing.conformance.suite import Verdict

__all__ = ["GUARANTEES", "SUITES", "Guarantee", "Part", "broken_guarantees"]

Part = Literal["store", "broker", "whole"]

SUITES: dict[Part, type[object]] = {
    "store": StoreConformance,
    "broker": BrokerConformance,
    "whole": PromiseConformance,
}


class Guarantee(msgspec.Struct, frozen=True):
    """One sentence that holds, and the names of the tests in a suite that prove it.

    `given_by` says whose it is: one that a store gives is none of a broker's, although only the whole may
    show it. `of_servers`: it says something of adapters alone that have a server of their own.
    """

    id: str
    suite: Part
    sentence: str
    tests: tuple[str, ...]
    given_by: Part = "whole"
    of_servers: bool = False

    def concerns(self, port: Part, *, has_server: bool) -> bool:
        """Whether an adapter of this port has to keep it."""
        giver = self.suite if self.suite != "whole" else self.given_by
        return giver in ("whole", port) and (has_server or not self.of_servers)


GUARANTEES = (
    # --- the whole: from a commit here to an effect there -----------------------------------------
    Guarantee(
        "outbox-atomic",
        "whole",
        "An event commits with the rows of its transaction, or not at all.",
        ("test_a_body_that_raises_tells_nobody",),
    ),
    Guarantee(
        "survives-kill",
        "whole",
        "What was acknowledged survives `kill -9` of the application: its rows are there, and its "
        "events arrive.",
        ("test_killed_processes_lose_nothing_and_double_nothing",),
    ),
    Guarantee(
        "broker-away",
        "whole",
        "While the broker is away calls are answered and no event is lost; they arrive when it is back.",
        ("test_nothing_is_lost_while_the_broker_is_away",),
    ),
    Guarantee(
        "durable-commit",
        "whole",
        "What was committed is there after the server of the database was ended at once; the service goes on "
        "when that is back.",
        ("test_what_was_committed_outlives_the_server_of_the_database",),
        given_by="store",
        of_servers=True,
    ),
    Guarantee(
        "effects-once",
        "whole",
        "Effects in the service's own database happen once, although events are delivered again.",
        ("test_effects_happen_once_while_events_come_again",),
    ),
    Guarantee(
        "acknowledged-after-commit",
        "whole",
        "An event is acknowledged after its effects have committed: what was at work at a crash is "
        "handled after it.",
        ("test_what_was_at_work_at_a_crash_is_handled_after_it",),
    ),
    Guarantee(
        "order-per-key",
        "whole",
        "A handler sees the events of a key in the order of their commits.",
        ("test_order_holds_per_key",),
    ),
    Guarantee(
        "failing-key-alone",
        "whole",
        "A failing event is parked with what follows it under its key; other keys go on.",
        ("test_a_failing_event_holds_up_only_its_key",),
    ),
    Guarantee(
        "dead-letters",
        "whole",
        "After its last attempt an event is dead, with its cause; those behind it go on, and it can be "
        "replayed.",
        ("test_a_dead_event_lets_others_go_on_and_can_be_replayed",),
    ),
    Guarantee(
        "scheduled",
        "whole",
        "An event for later commits with the rows, comes when it is due and not before, and can be "
        "taken back.",
        ("test_an_event_for_later_comes_when_it_is_due",),
    ),
    Guarantee(
        "bounded-window",
        "whole",
        "What is unconfirmed at the broker, and unhandled in a consumer, is bounded.",
        ("test_what_is_unhandled_is_bounded",),
    ),
    Guarantee(
        "new-handler-begins-now",
        "whole",
        "A new handler hears what is published from its first start on.",
        ("test_a_new_handler_begins_now",),
    ),
    Guarantee(
        "history",
        "whole",
        "A projection begins with the earliest event that is retained, and can be made anew.",
        ("test_a_projection_begins_with_what_is_retained",),
    ),
    Guarantee(
        "one-at-a-time",
        "whole",
        "Of several processes one has a role at a time; one that was taken over has no effect any more.",
        ("test_a_process_that_was_taken_over_has_no_effect",),
    ),
    Guarantee(
        "answered-once",
        "whole",
        "A keyed operation that is repeated has its effects once, and gives the stored answer again.",
        ("test_a_stored_answer_is_given_again",),
        given_by="store",
    ),
    # --- a store ----------------------------------------------------------------------------------
    Guarantee(
        "commit-lasts",
        "store",
        "A transaction whose block was left is there for whoever opens the database.",
        (
            "test_what_was_committed_is_there_after_closing_and_opening",
            "test_a_closed_store_takes_no_call_and_opens_again",
        ),
    ),
    Guarantee(
        "commit-seen",
        "store",
        "A commit is seen by every process at once.",
        (
            "test_a_committed_body_is_seen_by_another_process_at_once",
            "test_a_commit_that_is_not_waited_for_comes_before_what_follows",
        ),
    ),
    Guarantee(
        "all-or-nothing",
        "store",
        "A transaction that raises, or is cancelled, leaves nothing, and fails alone.",
        (
            "test_a_body_that_raises_leaves_nothing",
            "test_a_cancelled_body_leaves_nothing",
            "test_bodies_fail_alone",
        ),
    ),
    Guarantee(
        "serializable",
        "store",
        "Transactions take effect as if one ran after the other; a conflict is told as `TransactionConflict`.",
        ("test_bodies_are_serializable", "test_a_body_sees_its_own_writes_and_others_do_not"),
    ),
    Guarantee(
        "failure-dooms",
        "store",
        "After a failed statement a transaction cannot commit, and says so.",
        ("test_a_failed_statement_that_is_swallowed_commits_nothing",),
    ),
    Guarantee(
        "savepoint",
        "store",
        "A savepoint fails alone.",
        ("test_a_savepoint_fails_alone",),
    ),
    Guarantee(
        "later-moves",
        "store",
        "An event for later that commits while others become due is not lost, and one that is taken back then is not "
        "published.",
        (
            "test_an_event_for_later_that_commits_during_a_move_is_not_lost",
            "test_an_event_that_is_taken_back_during_a_move_is_not_published",
            "test_events_for_later_take_their_places_by_their_times",
        ),
    ),
    Guarantee(
        "constraint-told",
        "store",
        "A broken constraint is told as `ConstraintViolated`.",
        ("test_a_broken_constraint_is_told_as_that",),
    ),
    Guarantee(
        "transaction-control",
        "store",
        "Transactions are begun and ended by blocks alone: `commit` in SQL, one inside another, and "
        "statements after the end are refused.",
        (
            "test_transaction_control_in_a_statement_is_refused",
            "test_a_transaction_inside_a_transaction_is_refused",
            "test_a_transaction_that_is_over_takes_no_statement",
        ),
    ),
    Guarantee(
        "outbox-commits",
        "store",
        "What a transaction publishes commits with it, in this order; a failed savepoint takes its part along.",
        (
            "test_events_commit_with_the_body_in_their_order",
            "test_without_a_companion_nothing_is_published",
        ),
    ),
    Guarantee(
        "snapshot",
        "store",
        "The reads of a snapshot see one state.",
        ("test_a_snapshot_is_one_state",),
    ),
    Guarantee(
        "values",
        "store",
        "Parameters are bound by number, values come back equal, and rows are counted.",
        (
            "test_parameters_are_bound_by_number",
            "test_values_come_back_equal",
            "test_one_and_maybe_count_their_rows",
            "test_statements_tell_how_many_rows_they_changed",
        ),
    ),
    Guarantee(
        "migrations-once",
        "store",
        "A migration is applied once, whole and in its order; a changed one is refused.",
        (
            "test_migrations_are_applied_once_and_in_order",
            "test_a_changed_migration_is_refused",
            "test_a_failing_migration_leaves_nothing_of_itself",
        ),
    ),
    # --- a broker ---------------------------------------------------------------------------------
    Guarantee(
        "publish-lasts",
        "broker",
        "What was published outlives the process, and is read by others.",
        (
            "test_what_was_published_outlives_the_broker",
            "test_a_reader_follows_what_another_process_publishes",
        ),
    ),
    Guarantee(
        "events-whole",
        "broker",
        "An event arrives as it was published, up to 1 MiB; a longer one is refused.",
        (
            "test_messages_come_back_whole",
            "test_the_longest_event_is_carried_and_a_longer_one_refused",
        ),
    ),
    Guarantee(
        "topic-order",
        "broker",
        "A topic is read in the order of publishing, or says that it is not: then the numbers of events restore it.",
        ("test_messages_come_in_the_order_of_publishing",),
    ),
    Guarantee(
        "every-handler",
        "broker",
        "Every handler gets every event of its topics, and of no other.",
        ("test_every_group_gets_every_message", "test_topics_are_read_apart"),
    ),
    Guarantee(
        "republish-harmless",
        "broker",
        "Publishing an event again is harmless.",
        ("test_publishing_again_is_harmless",),
    ),
    Guarantee(
        "goes-on",
        "broker",
        "A reading goes on behind what was handed back as done, and gives the rest.",
        (
            "test_a_reading_goes_on_where_it_was",
            "test_a_position_tells_that_all_before_it_has_been_read",
        ),
    ),
    Guarantee(
        "reading-loses-nothing",
        "broker",
        "A reader waits for events, takes no more than it asks for, and loses none when it is cancelled.",
        (
            "test_a_waiting_reader_gets_what_is_published",
            "test_a_cancelled_reader_loses_nothing",
            "test_a_reading_that_was_given_up_as_it_began_takes_nothing",
            "test_a_reading_whose_closing_was_cancelled_takes_nothing",
            "test_a_reader_takes_no_more_than_it_asks_for",
        ),
    ),
    Guarantee(
        "joined-handler",
        "broker",
        "A handler is owed what is published after its first start.",
        (
            "test_a_new_handler_starts_at_the_end",
            "test_a_handler_is_owed_what_is_published_after_it_has_joined",
        ),
    ),
    Guarantee(
        "undone-comes-again",
        "broker",
        "What was not handed back as done is delivered again.",
        ("test_what_was_not_handed_back_comes_again",),
    ),
    Guarantee(
        "retention",
        "broker",
        "What the retention keeps can be read from the earliest on, and is not removed.",
        (
            "test_all_that_is_retained_is_read_from_the_earliest",
            "test_a_trim_removes_nothing_that_is_retained",
        ),
    ),
    Guarantee(
        "closing",
        "broker",
        "A closed broker or reading ends who waits for it, and takes nothing.",
        (
            "test_a_closed_subscription_gives_nothing",
            "test_a_closed_broker_ends_its_readers_and_takes_nothing",
        ),
    ),
)


def broken_guarantees(suite: Part, verdicts: Iterable[Verdict]) -> set[str]:
    """The ids of a suite's guarantees of which a test has failed, or has not run."""
    kept = {verdict.test for verdict in verdicts if verdict.error is None}
    ours = [guarantee for guarantee in GUARANTEES if guarantee.suite == suite]
    return {guarantee.id for guarantee in ours if not kept.issuperset(guarantee.tests)}
