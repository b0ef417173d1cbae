"""The root of the errors of this library and of the sidecar, which shares it."""


class Fault(Exception):
    """Something of ours, or of a service we stand on, does not work.

    The message says what failed and what to do next; it is shown to the operator as it
    stands. ``retryable`` is true where the same call may succeed later, and not before
    ``retry_after_seconds`` where whoever refused it said so. ``is_outage`` is true where nobody
    answered who could have: whoever polls then asks more rarely. ``remedy`` is what an operator
    does about it, where every fault of the kind has the same.
    """

    retryable = False
    is_outage = False
    remedy = ""
    retry_after_seconds: float | None = None
