"""What a resumed run does when its input is not the one it began with."""


class TypeInputChange:
    """The values of `on_input_change`."""

    REUSE = "reuse"
    RESET = "reset"
    RAISE = "raise"


VALID_POLICIES = (TypeInputChange.REUSE, TypeInputChange.RESET, TypeInputChange.RAISE)
