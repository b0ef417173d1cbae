/* The numbers of protocol.h as the compiler has them, as JSON. */
#include <stdio.h>

#include "protocol.h"

#define NUMBER(name, value) printf("\"%s\": %llu, ", name, (unsigned long long)(value))

int main(void) {
  printf("{");
  NUMBER("CONTROL_BYTES", SEPTEM_CONTROL_BYTES(1));
  NUMBER("TABLE_OFFSET", SEPTEM_TABLE_OFFSET);
  NUMBER("ROWS_OFFSET", SEPTEM_ROWS_OFFSET);
  NUMBER("POOL_OFFSET", SEPTEM_POOL_OFFSET);
  NUMBER("POOL_BYTES", SEPTEM_POOL_BYTES);
  NUMBER("SECRET_OFFSET", offsetof(septem_control, secret));
  NUMBER("SLOTS_OFFSET", offsetof(septem_control, credit_slots));
  NUMBER("WORKER_OFFSET", offsetof(septem_control, worker));
  NUMBER("EPOCH_WORD", offsetof(septem_control, worker[0].epoch) / 8);
  NUMBER("BEAT_WORD", offsetof(septem_control, worker[0].beat) / 8);
  NUMBER("CREDIT_STRIDE", SEPTEM_CREDIT_STRIDE);
  NUMBER("SPENT_OFFSET", offsetof(septem_credit, spent));
  NUMBER("NO_CREDIT", SEPTEM_NO_CREDIT);
  NUMBER("RING_HEADER", SEPTEM_RING_HEADER);
  NUMBER("RING_ID_OFFSET", offsetof(septem_ring, id));
  NUMBER("HEAD_WORD", offsetof(septem_ring, head) / 8);
  NUMBER("TAIL_WORD", offsetof(septem_ring, tail) / 8);
  NUMBER("COUNT_WORD", offsetof(septem_ring, count) / 8);
  NUMBER("HOST_EXACT", SEPTEM_HOST_EXACT);
  NUMBER("HOST_SUFFIX", SEPTEM_HOST_SUFFIX);
  NUMBER("PATH_EXACT", SEPTEM_PATH_EXACT);
  NUMBER("PATH_PREFIX", SEPTEM_PATH_PREFIX);
  NUMBER("ALL_METHODS", SEPTEM_ALL_METHODS);
  NUMBER("ASK", SEPTEM_ASK);
  NUMBER("ASK_ORIGIN", SEPTEM_ASK_ORIGIN);
  NUMBER("ASK_COOKIE", SEPTEM_ASK_COOKIE);
  NUMBER("BODY_REPEATS", SEPTEM_BODY_REPEATS);
  NUMBER("QUERY_REPEATS", SEPTEM_QUERY_REPEATS);
  NUMBER("PROTOCOL", SEPTEM_PROTOCOL);
  NUMBER("CONTROL_MAGIC", SEPTEM_CONTROL_MAGIC);
  NUMBER("RING_MAGIC", SEPTEM_RING_MAGIC);
  NUMBER("HELLO_MAGIC", SEPTEM_HELLO_MAGIC);
  NUMBER("WELCOME_MAGIC", SEPTEM_WELCOME_MAGIC);
  NUMBER("repeated", SEPTEM_REPEATED);
  NUMBER("learnt", SEPTEM_LEARNT);
  NUMBER("not_learnt", SEPTEM_NOT_LEARNT);
  NUMBER("asked_lease", SEPTEM_ASKED_LEASE);
  NUMBER("asked_epoch", SEPTEM_ASKED_EPOCH);
  NUMBER("asked_kind", SEPTEM_ASKED_KIND);
  NUMBER("asked_route", SEPTEM_ASKED_ROUTE);
  NUMBER("asked_miss", SEPTEM_ASKED_MISS);
  NUMBER("asked_ended", SEPTEM_ASKED_ENDED);
  NUMBER("asked_credit", SEPTEM_ASKED_CREDIT);
  NUMBER("asked_ring", SEPTEM_ASKED_RING);
  NUMBER("entries", SEPTEM_ENTRIES);
  NUMBER("bytes", SEPTEM_BYTES);
  NUMBER("evicted", SEPTEM_EVICTED);
  printf("\"ROW_BYTES\": %zu, \"HELLO_BYTES\": %zu}\n", sizeof(septem_row), sizeof(septem_hello));
  return 0;
}
