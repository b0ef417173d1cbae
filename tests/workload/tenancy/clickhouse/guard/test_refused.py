"""What a refusal says."""

from workload.tenancy.clickhouse.guard.refused import QueryRefused


def test_it_names_construct_place_and_remedy() -> None:
    refused = QueryRefused("FORMAT", 2, 5, remedy="leave it away")
    assert str(refused) == "the query was not sent: FORMAT at line 2, column 5: leave it away"
    assert str(QueryRefused("FORMAT")) == "the query was not sent: FORMAT"
    assert (refused.construct, refused.line, refused.column) == ("FORMAT", 2, 5)
