"""A decision's id: of the length that answers leave space for, and never the same twice."""

from sidecar.authz.decision_ids import ID_BYTES, DecisionIds
from sidecar.authz.response_cache import ID_ENTRY, ID_ENTRY_BYTES
from sidecar.pb import ext_authz_pb2 as pb


def test_ids_differ_and_are_hexadecimal_digits() -> None:
    ids = DecisionIds()
    taken = [ids.take() for _ in range(5000)]
    assert len(set(taken)) == len(taken)
    assert {len(each) for each in taken} == {ID_BYTES}
    assert all(bytes.fromhex(each.decode()) for each in taken)
    assert taken[0][:12] != DecisionIds().take()[:12], "of each process its own"


def test_an_answer_leaves_space_for_one() -> None:
    entry = ID_ENTRY + DecisionIds().take()
    assert len(entry) == ID_ENTRY_BYTES
    response = pb.CheckResponse()
    response.dynamic_metadata.MergeFromString(entry)
    assert response.dynamic_metadata.fields["decision_id"].string_value == entry[-20:].decode()
    assert response.dynamic_metadata.SerializeToString() == entry
