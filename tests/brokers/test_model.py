"""A topic against its model: whatever is done to the log, a reader misses only what it is told of."""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from borough.brokers.embedded import EmbeddedBroker
from borough.contracts.retention import LATEST_PER_KEY, Retention
from borough.ports import Message, Subscription
from borough.testing.clock import ManualClock
from tests.brokers.topic import TOPIC, keyed, segments_of

HOUR = 3600
FULL = 600
AGE = Retention("age", 4 * HOUR)


class TopicMachine(RuleBasedStateMachine):
    """Two processes append to, read and trim one topic; tails are torn, processes begin anew."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="borough-topic-"))
        self.clock = ManualClock()
        self.runner = asyncio.Runner()
        self.brokers: list[EmbeddedBroker] = []
        self.sent: list[Message] = []
        self.times: list[float] = []
        self.was_wrong = False
        self.begin = 0
        self.batch = 0
        self.read: list[int] = []
        self.told = 0
        self.position = 0
        self.reader: Subscription | None = None

    @initialize(latest=st.booleans())
    def start(self, latest: bool) -> None:
        self.retention = LATEST_PER_KEY if latest else AGE
        self.brokers = [self.runner.run(self._opened()) for _ in range(2)]

    async def _opened(self) -> EmbeddedBroker:
        broker = EmbeddedBroker(self.folder, self.clock, full=FULL)
        await broker.open()
        return broker

    @rule(
        which=st.integers(0, 1),
        keys=st.lists(st.integers(0, 5), min_size=1, max_size=6),
        size=st.integers(0, 300),
        again=st.integers(0, 4),
    )
    def append(self, which: int, keys: list[int], size: int, again: int) -> None:
        first = len(self.sent)
        new = [keyed(first + n, f"k{key}", size=size) for n, key in enumerate(keys)]
        again = min(again, self.batch)
        known = first > 0 and not (self.retention is AGE and self._is_old(first - 1))
        old = self.sent[first - again :] if again and known else []
        self.runner.run(self.brokers[which].publish([*old, *new]))
        self.sent += new
        self.times += [self.clock.epoch_s()] * len(new)
        self.batch = len(new)
        if not first:
            self.begin = self.runner.run(self.brokers[which].earliest(TOPIC))

    @precondition(lambda self: not self.was_wrong)
    @rule(hours=st.sampled_from([-1000, 1000]), key=st.integers(0, 5))
    def append_while_the_clock_is_wrong(self, hours: int, key: int) -> None:
        """Once. What was published then may be as old as its own clock says, others are not."""
        self.was_wrong = True
        now = self.clock.epoch_s()
        self.clock.advance(hours * HOUR)
        self.append(0, [key], 0, 0)
        self.clock.advance(-hours * HOUR)
        self.times[-1] = min(now, self.times[-1])

    @rule(hours=st.integers(1, 3))
    def time_passes(self, hours: int) -> None:
        self.clock.advance(hours * HOUR)

    @rule(which=st.integers(0, 1))
    def trim(self, which: int) -> None:
        self.runner.run(self.brokers[which].trim(TOPIC, self.retention, self.clock.epoch_s()))

    @rule(which=st.integers(0, 1))
    def begin_anew(self, which: int) -> None:
        self.runner.run(self.brokers[which].close())
        self.brokers[which] = self.runner.run(self._opened())
        self.reader = None

    @rule(which=st.integers(0, 1), torn=st.binary(min_size=1, max_size=80))
    def tear(self, which: int, torn: bytes) -> None:
        """As a writer that was killed while it wrote."""
        if self.sent:
            with segments_of(self.folder)[-1].open("ab") as log:
                log.write(torn)

    @rule(which=st.integers(0, 1), limit=st.integers(1, 20), anew=st.booleans())
    def take(self, which: int, limit: int, anew: bool) -> None:
        self.runner.run(self._take(self.brokers[which], limit, anew))

    async def _take(self, broker: EmbeddedBroker, limit: int, anew: bool) -> None:
        if anew and self.reader is not None:
            await self.reader.close()
            self.reader = None
        if self.reader is None:
            self.reader = await broker.subscribe("one", TOPIC, self.position)
            self.told = 0
        reader = self.reader
        if reader.position < await broker.end(TOPIC):
            async with asyncio.timeout(10):
                for delivery in await reader.take(limit):
                    self._taken(delivery.position, delivery.message)
        missed, self.told = reader.missed - self.told, reader.missed
        assert missed >= 0
        self._skipped_to(reader.position, missed)

    def _taken(self, position: int, message: Message) -> None:
        number = position - self.begin - 1
        assert message == self.sent[number]
        assert not self.read or number > self.read[-1]
        self.read.append(number)

    def _skipped_to(self, position: int, missed: int) -> None:
        """What lies between and was not read was removed and told, or is superseded."""
        done = (self.position or self.begin) - self.begin
        skipped = set(range(done, position - self.begin)) - set(self.read)
        if self.retention is AGE:
            assert len(skipped) == missed
            assert all(self._is_old(number) for number in skipped)
        else:
            assert missed == 0
            assert all(self._is_superseded(number) for number in skipped)
        self.position = max(self.position, position)

    def _is_old(self, number: int) -> bool:
        return self.times[number] < self.clock.epoch_s() - AGE.seconds

    def _is_superseded(self, number: int) -> bool:
        key = self.sent[number].key
        return any(message.key == key for message in self.sent[number + 1 :])

    @invariant()
    def all_that_must_be_retained_is_there(self) -> None:
        if self.sent:
            self.runner.run(self._retained())

    async def _retained(self) -> None:
        broker = self.brokers[0]
        everything = await broker.subscribe("all", TOPIC, 0)
        end = await broker.end(TOPIC)
        assert end == self.begin + len(self.sent)
        found: list[int] = []
        async with asyncio.timeout(10):
            while everything.position < end:
                found += [d.message.sequence for d in await everything.take(500)]
        await everything.close()
        facts = await broker.facts(TOPIC)
        assert (facts.records, facts.end) == (len(found), end)
        gone = set(range(len(self.sent))) - set(found)
        assert found == sorted(set(found))
        assert all(map(self._is_old if self.retention is AGE else self._is_superseded, gone))

    def teardown(self) -> None:
        for broker in self.brokers:
            self.runner.run(broker.close())
        self.runner.close()
        shutil.rmtree(self.folder)


TestTopic = TopicMachine.TestCase
TestTopic.settings = settings(
    max_examples=int(os.environ.get("BOROUGH_TOPIC_EXAMPLES", "40")),
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
