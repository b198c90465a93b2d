"""An application that raises when it is imported."""


class Licences:
    """Where none is."""

    def find(self) -> str:
        raise RuntimeError("no licence")


app = Licences().find()
