"""Each guard of the module has a test that dies without it.

A row takes one guard away and names the program that must notice. Without sanitizers and
optimisation, so a row costs half a second.
"""

import subprocess
from pathlib import Path

import pytest

from tests.envoy.decision_cache.programs import (
    CORE,
    FAKES,
    SOURCES,
    compile_all,
    core_objects,
    files,
    link,
)

PLAIN = ("-O0",)
LEASE, FILTER, TABLE = "test_lease", "test_filter", "test_table"
GUARDS = (
    # the lease: who it is from, and what memory it comes with
    ("lease", "if (peer.uid == 0) return true;", "return true;", LEASE),
    ("lease", "(seals & SEPTEM_SEALS) != SEPTEM_SEALS || ", "", LEASE),
    ("lease", "info.st_size < (off_t)least || ", "", LEASE),
    ("lease", " || info.st_size > (off_t)most", "", LEASE),
    (
        "lease",
        "if (!text_is_hex((text){lease->secret, sizeof lease->secret})) return false;",
        "",
        LEASE,
    ),
    ("lease", "control->magic == SEPTEM_CONTROL_MAGIC && ", "", LEASE),
    ("lease", "control->bytes == lease->control_bytes && ", "", LEASE),
    ("lease", "lease->control_bytes == SEPTEM_CONTROL_BYTES(lease->workers) &&", "", LEASE),
    ("lease", "if (place.length > SEPTEM_MAX_PAYLOAD ||\n     ", "if (", LEASE),
    ("lease", "place.offset > SEPTEM_COMMON_BYTES - place.length", "false", LEASE),
    ("lease", "if (septem_crc32(0, space, place.length) != place.crc) return false;", "", LEASE),
    ("lease", "lease->stale_ns <= SEPTEM_MAX_STALE_NS && ", "", LEASE),
    ("lease", "lease->credit_slots <= SEPTEM_MAX_CREDITS", "true", LEASE),
    ("lease", "!(message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) &&", "", LEASE),
    ("lease", "welcome.magic == SEPTEM_WELCOME_MAGIC && ", "", LEASE),
    ("lease", "welcome.protocol == SEPTEM_PROTOCOL &&", "", LEASE),
    ("lease", "welcome.flags == 0", "true", LEASE),
    (
        "lease",
        "!taken && count == SEPTEM_DESCRIPTORS",
        "!taken && count >= SEPTEM_DESCRIPTORS",
        LEASE,
    ),
    ("lease", "for (unsigned i = 0; i < SEPTEM_DESCRIPTORS; i++) close_fd(&fds[i]);", ";", LEASE),
    # the lease: while it is held
    ("lease", "beat > now_ns && beat > septem_clock_ns(CLOCK_MONOTONIC)", "false", LEASE),
    ("lease", " && beat > septem_clock_ns(CLOCK_MONOTONIC)", "", LEASE),
    ("lease", "now_ns - beat > lease->stale_ns", "now_ns - beat > 2 * lease->stale_ns", LEASE),
    ("lease", "if (same_table && memcmp(epochs", "if (memcmp(epochs", LEASE),
    (
        "lease",
        "lease->workers * sizeof *epochs) == 0) return true;",
        "8) == 0) return true;",
        LEASE,
    ),
    ("lease", "  forget(lease);\n  memcpy(lease->epochs", "  memcpy(lease->epochs", LEASE),
    ("lease", "} else if (!is_connected(lease)) {", "} else if (false) {", LEASE),
    ("lease", "now_ns - lease->since_ns > PATIENCE) {", "false) {", LEASE),
    ("lease", "if (slot >= lease->credit_slots) return false;", "", LEASE),
    (
        "lease",
        "if (spent >= __atomic_load_n(&credit->granted",
        "if (spent > __atomic_load_n(&credit->granted",
        LEASE,
    ),
    ("lease", "return differs == 0 && ", "return ", LEASE),
    ("lease", "payload->secret.length != SEPTEM_SECRET_BYTES", "false", LEASE),
    ("lease", "payload->worker < lease->workers &&", "", LEASE),
    ("lease", "payload->epoch == lease->epochs[payload->worker] &&", "", LEASE),
    ("lease", "payload->credit < lease->credit_slots", "true", LEASE),
    # the ring
    ("audit", "memory->magic != SEPTEM_RING_MAGIC || ", "", LEASE),
    ("audit", "memory->header != SEPTEM_RING_HEADER || ", "", LEASE),
    ("audit", "memory->bytes != bytes || ", "", LEASE),
    (
        "audit",
        "if (!text_is_hex((text){writer->id, sizeof writer->id})) return false;",
        "",
        LEASE,
    ),
    ("audit", "return septem_writer_space(writer, 0) == SEPTEM_FITS;", "return true;", LEASE),
    ("audit", "if (filled > writer->bytes) return SEPTEM_LIES;", "", LEASE),
    ("audit", "writer->bytes - filled < bytes ?", "writer->bytes - filled <= bytes ?", LEASE),
    (
        "audit",
        "if (part.length >= SEPTEM_MAX_LINE - used) return 0;",
        "if (part.length > SEPTEM_MAX_LINE - used) return 0;",
        FILTER,
    ),
    # the route table
    ("route", "if (sequence & 1) return false;", "", LEASE),
    (
        "route",
        "if (count > SEPTEM_MAX_ROWS || used > SEPTEM_POOL_BYTES) return false;",
        "",
        LEASE,
    ),
    ("route", "copy + rows_size, used) == crc;", "copy + rows_size, used) != crc + 1;", LEASE),
    (
        "route",
        "return offset <= used && length <= used - offset;",
        "return offset + length <= used;",
        LEASE,
    ),
    ("route", "(row->flags & ~SEPTEM_ROW_FLAGS) == 0 && ", "", LEASE),
    (
        "route",
        "return NULL;\n    }\n  }\n  return first",
        ";\n    }\n  }\n  return first",
        FILTER,
    ),
    ("route", "|| (first->flags & SEPTEM_ASK) ?", "?", FILTER),
    ("route", "path.at[prefix.length] == '/'", "true", FILTER),
    # the request
    ("request", "if (request->authorization.at != NULL) return false;", "", FILTER),
    ("request", 'return !text_equal(name, TEXT("dpop"));', "return true;", FILTER),
    ("request", 'return !text_equal(name, TEXT("upgrade"));', "return true;", FILTER),
    ("request", 'return !text_equal(name, TEXT("x-module-signature"));', "return true;", FILTER),
    (
        "request",
        'return !text_equal(name, TEXT("sec-websocket-protocol"));',
        "return true;",
        FILTER,
    ),
    (
        "request",
        'return !text_equal(name, TEXT("access-control-request-method"));',
        "return true;",
        FILTER,
    ),
    ("request", 'return text_equal(name, TEXT(":scheme"));', "return true;", FILTER),
    ("request", "|| count > SEPTEM_MAX_HEADERS", "|| count > 65", FILTER),
    ("request", "return !septem_query_may_hold_token(query);", "return true;", FILTER),
    ("request", "&& septem_plain_host(request->host)", "", FILTER),
    ("filter", "text host = request->host, auth", 'text host = TEXT(""), auth', FILTER),
    ("request", "if (before == '/') return false;", "", FILTER),
    ("request", "!(request->has_origin && (row->flags & SEPTEM_ASK_ORIGIN)) &&", "", FILTER),
    ("request", "!(request->has_cookie && (row->flags & SEPTEM_ASK_COOKIE)) &&", "", FILTER),
    ("request", "!(request->has_body && !(row->flags & SEPTEM_BODY_REPEATS)) &&", "", FILTER),
    # the filter
    (
        "filter",
        "reset(envoy, TEXT(SEPTEM_OWN_NAMESPACE), TEXT(SEPTEM_REPEATED_KEY));",
        "",
        FILTER,
    ),
    ("filter", "began_ns, !forged)", "began_ns, true)", FILTER),
    ("filter", " || has_client_certificate(envoy)", "", FILTER),
    (
        "filter",
        "if (source->length == 0 || source->length > MAX_SOURCE) return false;",
        "",
        FILTER,
    ),
    ("filter", "facts.wall_ms < septem_entry_from_ms(entry) || ", "", FILTER),
    ("filter", " || facts.wall_ms >= entry->until_ms", "", FILTER),
    ("filter", "if (how != SEPTEM_REPEATED) return how;", "", FILTER),
    (
        "filter",
        "if (!septem_lease_spend(lease, entry->credit)) return SEPTEM_ASKED_CREDIT;",
        "",
        FILTER,
    ),
    ("filter", "if (space != SEPTEM_FITS) return SEPTEM_ASKED_RING;", "", FILTER),
    ("filter", "if (space == SEPTEM_LIES) septem_lease_drop(lease);", "", FILTER),
    ("filter", "lease->generation != filter->generation", "false", FILTER),
    ("filter", "payload.scope != filter->scope", "false", FILTER),
    (
        "filter",
        "if (!prepare(&change, entry->profile, &values, request)) return SEPTEM_ASKED_MISS;",
        "prepare(&change, entry->profile, &values, request);",
        FILTER,
    ),
    ("filter", "if (operation == (is_there ?", "if (SEPTEM_OPERATIONS == (is_there ?", FILTER),
    ("filter", "if (count >= MAX_LEASES) return NULL;", "", FILTER),
    # payloads and the table
    ("payload", "if (source.length > SEPTEM_MAX_PAYLOAD) return false;", "", TABLE),
    ("payload", "&& source.at == NULL &&\n", "&&\n", TABLE),
    ("payload", "return payload->from_ms < payload->until_ms;", "return true;", TABLE),
    ("table", " || !septem_values_allowed(payload->own)", "", TABLE),
    (
        "payload",
        "return source.at == NULL;\n}\n\nbool septem_payload_split",
        "return true;\n}\n\nbool septem_payload_split",
        FILTER,
    ),
    ("table", " && profile->place.crc == payload->place.crc", "", FILTER),
    (
        "filter",
        "payload.is_placed && !septem_table_knows(&lease->table, &payload) &&",
        "payload.is_placed &&",
        FILTER,
    ),
    (
        "payload",
        "if (values->count == SEPTEM_MAX_SLOTS) return false;",
        "if (values->count == 64) return false;",
        TABLE,
    ),
    ("payload", "c != SEPTEM_INSERT || ++i == value.length", "++i == value.length", TABLE),
    ("payload", "is_line && (times != 1 || ids != 1) ? -1 : slots", "slots", TABLE),
    ("payload", "  return lines == 1;", "  return true;", TABLE),
    ("payload", "into->count == SEPTEM_MAX_RECORDS || ", "", TABLE),
    ("payload", '!text_equal(name, TEXT("host")) && ', "", TABLE),
    ("table", "profile->slots <= values.count && make_space", "make_space", TABLE),
    ("table", "entry->scope == scope &&", "", TABLE),
    (
        "table",
        "text_equal(septem_entry_key(entry), key)",
        "septem_entry_key(entry).length == key.length",
        TABLE,
    ),
    ("table", " && make_space(table, size / 8 * 9 + 64);", ";", TABLE),
    ("table", " || payload->scope > UINT16_MAX)", ")", TABLE),
    ("table", "table->profile_count >= SEPTEM_MAX_PROFILES || ", "", TABLE),
    ("table", "if (--entry->references > 0) return;", "", TABLE),
)


@pytest.mark.parametrize(
    ("name", "guard", "instead", "witness"),
    GUARDS,
    ids=[f"{name}: {guard.strip()[:60]}" for name, guard, _, _ in GUARDS],
)
def test_a_guard_that_is_taken_away_is_missed(
    tmp_path: Path, name: str, guard: str, instead: str, witness: str
) -> None:
    source = (SOURCES / f"{name}.c").read_text()
    assert source.count(guard) == 1, f"{name}.c has {source.count(guard)} times: {guard}"
    changed = tmp_path / f"{name}.c"
    changed.write_text(source.replace(guard, instead))
    lenient = (*PLAIN, "-Wno-error", "-w")
    objects = dict(core_objects("gcc", PLAIN))
    (objects[name],) = compile_all(tmp_path, "gcc", lenient, [str(changed)])
    own = _witness(witness)
    program = link(
        tmp_path / "mutant", "gcc", PLAIN, [own, *(objects[each] for each in (*CORE, *FAKES))]
    )
    try:
        done = subprocess.run([program], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return
    assert done.returncode != 0, "no test notices"


_witnesses: dict[str, Path] = {}


def _witness(name: str) -> Path:
    """Compile a test program once, beside the module's own objects."""
    if name not in _witnesses:
        folder = core_objects("gcc", PLAIN)["lease"].parent
        (_witnesses[name],) = compile_all(folder, "gcc", PLAIN, files((name,)))
    return _witnesses[name]


def test_the_programs_hold_as_they_are() -> None:
    """Without this a row would prove nothing."""
    objects = core_objects("gcc", PLAIN)
    for name in (LEASE, FILTER, TABLE):
        parts = [_witness(name), *(objects[each] for each in (*CORE, *FAKES))]
        program = link(parts[0].with_suffix(".program"), "gcc", PLAIN, parts)
        subprocess.run([program], check=True, timeout=60)
