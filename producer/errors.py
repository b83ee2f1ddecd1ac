"""Exceptions, each named after what its catcher does next."""


class CannotGoOn(Exception):  # noqa: N818 - the name is the action
    """Stop with this message: it says what is wrong, where, and what a person can do."""


class Refused(Exception):  # noqa: N818 - the name is the action
    """This one event was not sent: report it with its line, and go on."""


class TryLater(Exception):  # noqa: N818 - the name is the action
    """Ask again after `seconds`: nothing was analysed, for want of room, of a broker, or of anybody who answers."""

    def __init__(self, message: str, seconds: float) -> None:
        """Keep the message and the pause that is advised, seconds."""
        super().__init__(message)
        self.seconds = seconds


class NothingReady(Exception):  # noqa: N818 - the state it tells of
    """The time is over and not one restaurant has an answer: ask for less, or wait longer."""
