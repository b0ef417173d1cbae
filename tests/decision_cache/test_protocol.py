"""The layout in Python is the header's: a C program prints the header's, and both are compared."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from sidecar.decision_cache import protocol
from sidecar.decision_cache.protocol import HostKind, ModuleCount, PathKind, RowFlag

ROOT = Path(__file__).parents[2]

NUMBERS = {
    "SEPTEM_PROTOCOL": protocol.PROTOCOL,
    "SEPTEM_CONTROL_MAGIC": int.from_bytes(protocol.CONTROL_MAGIC, "little"),
    "SEPTEM_RING_MAGIC": int.from_bytes(protocol.RING_MAGIC, "little"),
    "SEPTEM_HELLO_MAGIC": int.from_bytes(protocol.HELLO_MAGIC, "little"),
    "SEPTEM_WELCOME_MAGIC": int.from_bytes(protocol.WELCOME_MAGIC, "little"),
    "SEPTEM_MAX_WORKERS": protocol.MAX_WORKERS,
    "SEPTEM_SECRET_BYTES": protocol.SECRET_BYTES,
    "SEPTEM_MAX_ROWS": protocol.MAX_ROWS,
    "SEPTEM_POOL_BYTES": protocol.POOL_BYTES,
    "SEPTEM_TABLE_OFFSET": protocol.TABLE_OFFSET,
    "SEPTEM_ROWS_OFFSET": protocol.ROWS_OFFSET,
    "SEPTEM_POOL_OFFSET": protocol.POOL_OFFSET,
    "SEPTEM_CONTROL_BYTES(1)": protocol.control_bytes(1),
    "SEPTEM_CONTROL_BYTES(16)": protocol.control_bytes(16),
    "SEPTEM_COMMON_OFFSET": protocol.COMMON_OFFSET,
    "SEPTEM_COMMON_BYTES": protocol.COMMON_BYTES,
    "SEPTEM_PLACED": protocol.PLACED[0],
    "SEPTEM_MIN_STALE_NS": protocol.MIN_STALE_NS,
    "SEPTEM_MAX_STALE_NS": protocol.MAX_STALE_NS,
    "offsetof(septem_control, protocol)": 8,
    "offsetof(septem_control, workers)": 12,
    "offsetof(septem_control, bytes)": 16,
    "offsetof(septem_control, stale_ns)": 24,
    "offsetof(septem_control, secret)": 32,
    "offsetof(septem_control, credit_slots)": 64,
    "offsetof(septem_control, reserved0)": protocol.CONTROL_HEAD.size,
    "offsetof(septem_control, worker)": protocol.WORKER_OFFSET,
    "sizeof(septem_worker_word)": protocol.WORKER_BYTES,
    "offsetof(septem_worker_word, epoch)": 0,
    "offsetof(septem_worker_word, beat)": protocol.WORD_BYTES,
    "offsetof(septem_table, rows)": protocol.WORD_BYTES,
    "offsetof(septem_table, reserved0)": protocol.WORD_BYTES + protocol.TABLE_COUNTS.size,
    "sizeof(septem_row)": protocol.ROW.size,
    "offsetof(septem_row, methods)": 8,
    "offsetof(septem_row, host_kind)": 10,
    "offsetof(septem_row, path_kind)": 11,
    "offsetof(septem_row, host_offset)": 12,
    "offsetof(septem_row, host_length)": 16,
    "offsetof(septem_row, path_length)": 18,
    "offsetof(septem_row, path_offset)": 20,
    "offsetof(septem_row, fold_offset)": 24,
    "offsetof(septem_row, fold_length)": 28,
    "SEPTEM_MAX_CREDITS": protocol.MAX_CREDITS,
    "SEPTEM_CREDIT_STRIDE": protocol.CREDIT_STRIDE,
    "SEPTEM_NO_CREDIT": protocol.NO_CREDIT,
    "offsetof(septem_credit, spent)": protocol.SPENT_OFFSET,
    "SEPTEM_CREDIT_BYTES(0)": protocol.credit_bytes(0),
    "SEPTEM_CREDIT_BYTES(1)": protocol.credit_bytes(1),
    "SEPTEM_CREDIT_BYTES(33)": protocol.credit_bytes(33),
    "SEPTEM_CREDIT_BYTES(4096)": protocol.credit_bytes(4096),
    "SEPTEM_RING_HEADER": protocol.RING_HEADER,
    "SEPTEM_MIN_RING": protocol.MIN_RING,
    "SEPTEM_MAX_RING": protocol.MAX_RING,
    "SEPTEM_RING_ID": protocol.RING_ID,
    "SEPTEM_MAX_LINE": protocol.MAX_LINE,
    "offsetof(septem_ring, protocol)": 8,
    "offsetof(septem_ring, header)": 12,
    "offsetof(septem_ring, bytes)": 16,
    "offsetof(septem_ring, id)": 24,
    "offsetof(septem_ring, reserved0)": protocol.RING_HEAD.size,
    "offsetof(septem_ring, head)": protocol.HEAD_OFFSET,
    "offsetof(septem_ring, tail)": protocol.TAIL_OFFSET,
    "offsetof(septem_ring, count)": protocol.COUNT_OFFSET,
    "SEPTEM_COUNTS": protocol.COUNTS,
    "sizeof(septem_hello)": protocol.HELLO.size,
    "sizeof(septem_welcome)": protocol.WELCOME.size,
    "offsetof(septem_hello, version)": 24,
    "SEPTEM_HAS_OLD_RING": protocol.HAS_OLD_RING,
    "SEPTEM_DESCRIPTORS": protocol.DESCRIPTORS,
    "SEPTEM_SEALS": protocol.SEALS,
    "SEPTEM_MAX_PAYLOAD": protocol.MAX_PAYLOAD,
    "SEPTEM_MAX_RECORDS": protocol.MAX_RECORDS,
    "SEPTEM_MAX_SLOTS": protocol.MAX_SLOTS,
    "SEPTEM_MAX_NAME": protocol.MAX_NAME,
    "SEPTEM_GROUP": protocol.GROUP[0],
    "SEPTEM_RECORD": protocol.RECORD[0],
    "SEPTEM_UNIT": protocol.UNIT[0],
    "SEPTEM_INSERT": protocol.INSERT[0],
    "SEPTEM_ALL_METHODS": protocol.ALL_METHODS,
    "SEPTEM_ROW_FLAGS": sum(RowFlag),
    **{f"SEPTEM_{name}": number for name, number in protocol.METHODS.items()},
    **{f"SEPTEM_HOST_{each.name}": each for each in HostKind},
    **{f"SEPTEM_PATH_{each.name}": each for each in PathKind},
    **{f"SEPTEM_{each.name}": each for each in RowFlag},
    **{f"SEPTEM_{each.name}": each for each in ModuleCount},
}
TEXTS = {
    "SEPTEM_PAYLOAD_KEY": protocol.PAYLOAD_KEY,
    "SEPTEM_PAYLOAD_VERSION": protocol.PAYLOAD_VERSION.decode(),
    "SEPTEM_PAYLOAD_NAMESPACE": "envoy.filters.http.ext_authz",
}


def printed(expressions: Iterable[str], form: str, folder: Path) -> list[str]:
    lines = "".join(f"  printf({form}, {each});\n" for each in expressions)
    program = folder / "numbers.c"
    program.write_text(
        f'#include <stdio.h>\n#include "{ROOT}/envoy/decision_cache/protocol.h"\n'
        f"int main(void) {{\n{lines}  return 0;\n}}\n"
    )
    run = ["gcc", "-std=c11", "-Wall", "-o", str(folder / "numbers"), str(program)]
    subprocess.run(run, check=True, timeout=60)
    done = subprocess.run([folder / "numbers"], check=True, capture_output=True, timeout=60)
    return done.stdout.decode().splitlines()


def test_every_number_is_the_headers(tmp_path: Path) -> None:
    cast = [f"(unsigned long long)({each})" for each in NUMBERS]
    found = dict(zip(NUMBERS, map(int, printed(cast, r'"%llu\n"', tmp_path)), strict=True))
    assert found == {name: int(number) for name, number in NUMBERS.items()}


def test_every_text_is_the_headers(tmp_path: Path) -> None:
    found = dict(zip(TEXTS, printed(TEXTS, r'"%s\n"', tmp_path), strict=True))
    assert found == TEXTS


@pytest.mark.parametrize("name", ["ASKED_LEASE", "ASKED_RING"])
def test_each_reason_to_ask_has_a_name(name: str) -> None:
    assert ModuleCount[name] in protocol.ASKED.values()
    reasons = {each for each in ModuleCount if each.name.startswith("ASKED_")}
    assert set(protocol.ASKED.values()) == reasons
