"""The source."""

from typing import final

from borough import Clock, Database, Service
from rigs.pair.source.contract import Note, Noted, Source


@final
class SourceService(Service, Source):
    """Keeps notes and tells of them."""

    db: Database
    clock: Clock

    async def keep(self, note: Note) -> Note:
        async with self.db.transaction() as tx:
            is_new = await tx.execute(
                "insert into notes (writer, number) values ($1, $2) on conflict do nothing",
                note.writer,
                note.number,
            )
            if is_new:
                now_s = self.clock.now().timestamp()
                tx.publish(Noted(writer=note.writer, number=note.number, at=now_s))
        return note
