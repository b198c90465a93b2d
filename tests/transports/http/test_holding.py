"""What is held for slow clients, all together."""

from borough.transports.http.holding import Holding


class Client:
    is_dropped = False

    def drop(self) -> None:
        self.is_dropped = True


def test_whoever_has_been_slow_for_longest_goes_first() -> None:
    holding, clients = Holding(100), [Client() for _ in range(4)]
    for client in clients[:3]:
        holding.hold(client, 30)
    holding.hold(clients[0], 40)  # keeps its place
    assert holding.total == 100
    holding.hold(clients[3], 50)  # one is not enough
    assert [client.is_dropped for client in clients] == [True, True, False, False]
    assert holding.total == 80


def test_what_alone_is_too_much_goes_itself() -> None:
    holding, client = Holding(100), Client()
    holding.hold(client, 101)
    assert client.is_dropped
    assert holding.total == 0


def test_what_is_released_makes_room() -> None:
    holding, first, second = Holding(100), Client(), Client()
    holding.hold(first, 90)
    holding.release(first)
    holding.release(first)
    holding.hold(second, 90)
    assert holding.total == 90
    assert not first.is_dropped
    assert not second.is_dropped
