"""Exceptions, each named after what its catcher does next."""


class CannotGoOn(Exception):  # noqa: N818 - the name is the action
    """Stop with this message: it says what is wrong, where, and what a person can do."""


class Refused(Exception):  # noqa: N818 - the name is the action
    """This one event was not sent: report it with its line, and go on."""
