"""Exceptions, each named after what its catcher does next. Libraries' own are translated once, in their adapter."""


class ConfigError(Exception):
    """Stop the start: waiting cannot help. The message names what is wrong, where, and what is allowed."""


class RetryLater(Exception):  # noqa: N818 - the name is the action
    """Try this item again after a pause; its neighbours go on. `reason`: its dead letter's, should it come to that."""

    reason = "engine_error"

    def __init__(self, message: str, reason: str | None = None) -> None:
        """Keep the message, and the code where it is not the usual one."""
        super().__init__(message)
        self.reason = reason or self.reason


class DeadLetter(Exception):  # noqa: N818 - the name is the action
    """This item cannot be answered, ever. `reason` is one of a few codes, the message says why."""

    def __init__(self, reason: str, message: str) -> None:
        """Keep both: the code becomes `dlq.reason`, the message `dlq.error`."""
        super().__init__(message)
        self.reason = reason


class Expired(DeadLetter):
    """This item's deadline passed while it waited: nobody waits for its answer any more. Say so, and ask no engine."""

    def __init__(self) -> None:
        """Always for the same reason."""
        super().__init__("deadline_exceeded", "its deadline passed before it was its turn")


class EngineDown(Exception):  # noqa: N818 - the state it tells of
    """The engine itself is gone: what was in flight is not at fault and waits."""


class EngineUnavailable(EngineDown):
    """The engine cannot be reached, or refuses for now: nothing in flight is suspect.

    Wait `retry_after` seconds, if given.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        """Keep the message, and the seconds that the engine asked for."""
        super().__init__(message)
        self.retry_after = retry_after


class Fenced(Exception):  # noqa: N818 - Kafka's own term
    """Another member owns the partition now: publish nothing, leave the group and rejoin."""


class LaneRefused(Exception):  # noqa: N818 - the state it tells of
    """Take no records of this partition until a person has decided; the others go on. The message says what to do."""
