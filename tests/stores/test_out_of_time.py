"""A statement that has not ended in time: what its service is told, and what its caller."""

from borough.errors import CallError
from borough.stores.out_of_time import out_of_time
from borough.transports.http.door import problem_response


def test_the_service_is_told_which_statement_the_deadline_met_and_its_caller_only_that_it_was_one() -> (
    None
):
    error = out_of_time("select pin from cards", is_calls=True)
    assert isinstance(error, CallError)
    assert str(error) == "the deadline passed during: select pin from cards"
    body = problem_response(error).body
    assert isinstance(body, bytes)
    assert b'"The deadline passed during a statement"' in body
    assert b"cards" not in body
