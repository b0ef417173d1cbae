/* The answers that one worker thread of Envoy remembers: bounded by number and by bytes.
 *
 * A set-associative table, four ways a set, second chance within a set. The key is the route's
 * scope and the whole value of the request's `authorization`, compared byte for byte: the hash
 * only finds the set. Entries and profiles are counted references, because a request that is
 * upstream needs its answer's response headers after the table has dropped it.
 */
#ifndef SEPTEM_TABLE_H
#define SEPTEM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload.h"
#include "text.h"

typedef struct {
  septem_profile *profile;
  uint64_t until_ms;
  uint32_t lasts_s; /* up to then; a second that has begun is left out */
  uint32_t credit;
  uint32_t references; /* the table's own is one of them */
  uint16_t scope;
  uint16_t key_length;
  uint16_t own_length;
  char bytes[]; /* the key, then `own` */
} septem_entry;

typedef struct {
  septem_entry *entry;
  uint32_t tag; /* the hash's upper half */
  uint32_t used; /* second chance */
} septem_way;

#define SEPTEM_WAYS 4u
#define SEPTEM_PROFILE_BUCKETS 256u
#define SEPTEM_MAX_PROFILES 4096u

typedef struct {
  septem_way *ways;
  uint32_t sets; /* a power of two */
  uint64_t max_bytes;
  uint64_t bytes; /* ways, entries and profiles, each as large as the allocator makes it */
  uint64_t entries;
  uint64_t evicted;
  uint32_t hand; /* the set where the next search for space begins */
  uint32_t profile_count;
  uint64_t seed; /* of the hash: a client can't choose a set */
  septem_profile *profiles[SEPTEM_PROFILE_BUCKETS];
} septem_table_t;

/* `entries` is a power of two, 4 at least. False without memory. */
bool septem_table_init(septem_table_t *table, uint32_t entries, uint64_t bytes, uint64_t seed);
void septem_table_clear(septem_table_t *table);
void septem_table_free(septem_table_t *table);

/* Find an answer, whatever the time is; NULL if there is none. */
septem_entry *septem_table_find(septem_table_t *table, uint32_t scope, text key);

/* Whether the common part of a payload that says where it stands is kept already. */
bool septem_table_knows(const septem_table_t *table, const septem_payload *payload);

/* Remember an answer in place of an earlier one for its key. False if `common` or `own` is not
 * allowed, or there is no space. A placed common part must be known or read. */
bool septem_table_put(septem_table_t *table, const septem_payload *payload, text key);

/* Drop one answer. */
void septem_table_drop(septem_table_t *table, uint32_t scope, text key);

static inline septem_entry *septem_entry_hold(septem_entry *entry) {
  entry->references++;
  return entry;
}
void septem_entry_release(septem_table_t *table, septem_entry *entry);

static inline uint64_t septem_entry_from_ms(const septem_entry *entry) {
  return entry->until_ms - entry->lasts_s * 1000ull;
}
static inline text septem_entry_key(const septem_entry *entry) {
  return (text){entry->bytes, entry->key_length};
}
static inline text septem_entry_own(const septem_entry *entry) {
  return (text){entry->bytes + entry->key_length, entry->own_length};
}

#endif
