"""What the guard says of a query that it does not send."""

from workload.tenancy.context import TenancyFault


class QueryRefused(TenancyFault):
    """A query that is not sent: ``construct`` is what the guard does not let through.

    ``line`` and ``column`` count from 1, and are 0 where the place is not known.
    """

    def __init__(self, construct: str, line: int = 0, column: int = 0, *, remedy: str = "") -> None:
        place = f" at line {line}, column {column}" if line else ""
        advice = f": {remedy}" if remedy else ""
        super().__init__(f"the query was not sent: {construct}{place}{advice}")
        self.construct = construct
        self.line = line
        self.column = column


class GuardDisagrees(QueryRefused):
    """What was rewritten does not verify: a mistake of the guard, and no query is sent."""
