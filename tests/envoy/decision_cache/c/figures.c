/* What a remembered token costs, as JSON: a million tokens against the configured bounds. */
#define _GNU_SOURCE
#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "table.h"

enum { TOKENS = 1000000, TOKEN_BYTES = 600 };

static uint64_t resident(void) {
  unsigned long pages = 0, all;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%lu %lu", &all, &pages) == 2);
  fclose(file);
  return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static septem_table_t table;

static uint64_t fill(unsigned tokens) {
  static char key[TOKEN_BYTES + 1], own[200];
  static const char common[] =
      "l\x1f{\"time\":\"\x1aT\",\"decision_id\":\"\x1aI\"}\x1eh\x1fx-user-id\x1f\x1a" "0";
  uint64_t kept = 0;
  memset(key, 'k', TOKEN_BYTES);
  for (unsigned i = 0; i < tokens; i++) {
    snprintf(key + TOKEN_BYTES - 20, 21, "%020u", i);
    /* A subject, a token's id and a digest: three UUIDs' worth. */
    int length = snprintf(own, sizeof own, "%036u\x1f%036u\x1f%032u", i, i, i);
    septem_payload payload = {.until_ms = 2,
                              .scope = 1,
                              .common = {common, sizeof common - 1},
                              .own = {own, (size_t)length}};
    kept += septem_table_put(&table, &payload, (text){key, TOKEN_BYTES});
  }
  return kept;
}

int main(void) {
  uint64_t before = resident();
  CHECK(septem_table_init(&table, 131072, 1ull << 30, 1));
  CHECK(fill(80000) == 80000);
  uint64_t entries = table.entries, cost = (resident() - before) / entries - TOKEN_BYTES;
  CHECK(entries > 70000);
  septem_table_free(&table);
  malloc_trim(0);
  before = resident();
  CHECK(septem_table_init(&table, 65536, 32u << 20, 1));
  CHECK(fill(TOKENS) == TOKENS);
  uint64_t grown = resident() - before;
  CHECK(table.bytes <= 32u << 20);
  printf("{\"bytes_per_cached_token\": %llu, \"entries\": %llu, \"bound\": %u, \"grown\": %llu, "
         "\"entry\": %zu}\n",
         (unsigned long long)cost, (unsigned long long)table.entries, 32u << 20,
         (unsigned long long)grown, sizeof(septem_entry));
  return 0;
}
