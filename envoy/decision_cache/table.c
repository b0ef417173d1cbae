#define _GNU_SOURCE
#include "table.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static_assert(SEPTEM_MAX_PAYLOAD + 8192 <= UINT16_MAX, "lengths are kept in two bytes");

/* What an allocation takes: an allocator has classes of sizes, some of which are an eighth apart. */
static size_t cost_of(void *allocation) { return malloc_usable_size(allocation) + sizeof(void *); }

static size_t entry_size(size_t key, size_t own) {
  size_t size = offsetof(septem_entry, bytes) + key + own;
  return size < sizeof(septem_entry) ? sizeof(septem_entry) : size;
}

static uint64_t mix(uint64_t h) {
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ull;
  h ^= h >> 32;
  h *= 0xd6e8feb86659fd93ull;
  return h ^ h >> 32;
}

/* Keyed, not cryptographic: an attacker needs valid tokens to fill a set, and a full set costs
 * nothing but a question to the sidecar. */
static uint64_t hash(uint64_t seed, uint32_t scope, text key) {
  uint64_t h = mix(seed ^ scope ^ (uint64_t)key.length << 32), word[2];
  size_t at = 0;
  for (; at + 16 <= key.length; at += 16) {
    memcpy(word, key.at + at, 16);
    unsigned __int128 wide = (unsigned __int128)(h ^ word[0]) * (seed ^ word[1] ^ 0x9fb21c651e98df25ull);
    h = h * 3 ^ (uint64_t)wide ^ (uint64_t)(wide >> 64);
  }
  word[0] = word[1] = 0;
  if (at < key.length) memcpy(word, key.at + at, key.length - at);
  return mix(mix(h ^ word[0] ^ seed) ^ word[1]);
}

bool septem_table_init(septem_table_t *table, uint32_t entries, uint64_t bytes, uint64_t seed) {
  memset(table, 0, sizeof *table);
  table->ways = calloc(entries, sizeof(septem_way));
  table->sets = entries / SEPTEM_WAYS;
  table->max_bytes = bytes;
  table->bytes = (uint64_t)entries * sizeof(septem_way);
  table->seed = seed;
  return table->ways != NULL;
}

/* ---- profiles ----------------------------------------------------------------------------- */

/* A placed common part is known by its place: under one epoch a worker overwrites none. Another
 * is known by its text. */
static uint32_t profile_hash(const septem_table_t *table, const septem_payload *payload) {
  if (!payload->is_placed) return (uint32_t)hash(table->seed, 0, payload->common);
  return (uint32_t)mix(payload->epoch ^ mix(table->seed ^ payload->worker ^
                                            (uint64_t)payload->place.offset << 32));
}

static bool is_profile(const septem_profile *profile, const septem_payload *payload) {
  if (profile->is_placed != payload->is_placed) return false;
  if (!profile->is_placed)
    return text_equal((text){septem_profile_text(profile), profile->common}, payload->common);
  return profile->worker == payload->worker && profile->epoch == payload->epoch &&
         profile->place.offset == payload->place.offset &&
         profile->place.length == payload->place.length && profile->place.crc == payload->place.crc;
}

static septem_profile *find_profile(const septem_table_t *table, const septem_payload *payload,
                                    uint32_t key) {
  septem_profile *each = table->profiles[key % SEPTEM_PROFILE_BUCKETS];
  while (each != NULL && !(each->hash == key && is_profile(each, payload))) each = each->next;
  return each;
}

bool septem_table_knows(const septem_table_t *table, const septem_payload *payload) {
  return find_profile(table, payload, profile_hash(table, payload)) != NULL;
}

static septem_profile *hold_profile(septem_table_t *table, const septem_payload *payload) {
  uint32_t key = profile_hash(table, payload);
  septem_profile *known = find_profile(table, payload, key);
  if (known != NULL) {
    known->references++;
    return known;
  }
  if (table->profile_count >= SEPTEM_MAX_PROFILES || payload->common.at == NULL) return NULL;
  septem_profile *fresh = septem_profile_parse(payload->common);
  if (fresh == NULL) return NULL;
  septem_profile **bucket = &table->profiles[key % SEPTEM_PROFILE_BUCKETS];
  fresh->epoch = payload->epoch;
  fresh->worker = payload->worker;
  fresh->is_placed = payload->is_placed;
  if (payload->is_placed) fresh->place = payload->place;
  fresh->hash = key;
  fresh->references = 1;
  fresh->next = *bucket;
  *bucket = fresh;
  table->profile_count++;
  table->bytes += cost_of(fresh);
  return fresh;
}

static void release_profile(septem_table_t *table, septem_profile *profile) {
  if (--profile->references > 0) return;
  septem_profile **link = &table->profiles[profile->hash % SEPTEM_PROFILE_BUCKETS];
  while (*link != profile) link = &(*link)->next;
  *link = profile->next;
  table->profile_count--;
  table->bytes -= cost_of(profile);
  free(profile);
}

/* ---- entries ------------------------------------------------------------------------------ */

void septem_entry_release(septem_table_t *table, septem_entry *entry) {
  if (--entry->references > 0) return;
  size_t size = entry_size(entry->key_length, entry->own_length);
  release_profile(table, entry->profile);
  table->bytes -= cost_of(entry);
  explicit_bzero(entry, size); /* the key is a bearer token */
  free(entry);
}

static void empty_way(septem_table_t *table, septem_way *way) {
  septem_entry *entry = way->entry;
  *way = (septem_way){NULL, 0, 0};
  table->entries--;
  septem_entry_release(table, entry);
}

void septem_table_clear(septem_table_t *table) {
  if (table->entries == 0) return;
  for (size_t i = 0; i < (size_t)table->sets * SEPTEM_WAYS; i++)
    if (table->ways[i].entry != NULL) empty_way(table, &table->ways[i]);
}

void septem_table_free(septem_table_t *table) {
  septem_table_clear(table);
  free(table->ways);
  table->ways = NULL;
}

static septem_way *set_of(septem_table_t *table, uint64_t h) {
  return &table->ways[(h & (table->sets - 1)) * SEPTEM_WAYS];
}

static septem_way *find_way(septem_table_t *table, uint64_t h, uint32_t scope, text key) {
  septem_way *set = set_of(table, h);
  uint32_t tag = (uint32_t)(h >> 32);
  for (unsigned i = 0; i < SEPTEM_WAYS; i++) {
    septem_entry *entry = set[i].entry;
    if (entry != NULL && set[i].tag == tag && entry->scope == scope &&
        text_equal(septem_entry_key(entry), key))
      return &set[i];
  }
  return NULL;
}

septem_entry *septem_table_find(septem_table_t *table, uint32_t scope, text key) {
  septem_way *way = find_way(table, hash(table->seed, scope, key), scope, key);
  if (way == NULL) return NULL;
  way->used = 1;
  return way->entry;
}

void septem_table_drop(septem_table_t *table, uint32_t scope, text key) {
  septem_way *way = find_way(table, hash(table->seed, scope, key), scope, key);
  if (way != NULL) empty_way(table, way);
}

/* A free way of a set, made free if need be: one that was not used since it was last looked at. */
static septem_way *free_way(septem_table_t *table, septem_way *set) {
  for (unsigned i = 0; i < SEPTEM_WAYS; i++)
    if (set[i].entry == NULL) return &set[i];
  unsigned victim = table->hand % SEPTEM_WAYS;
  for (unsigned i = 0; i < SEPTEM_WAYS && set[victim].used; i++) {
    set[victim].used = 0;
    victim = (victim + 1) % SEPTEM_WAYS;
  }
  table->hand++;
  table->evicted++;
  empty_way(table, &set[victim]);
  return &set[victim];
}

/* Drop answers until so many bytes are free. What requests upstream hold is not freed by that, so
 * the search ends after one round. */
static bool make_space(septem_table_t *table, size_t bytes) {
  for (uint32_t i = 0; i < table->sets && table->bytes + bytes > table->max_bytes; i++) {
    septem_way *set = &table->ways[(table->hand++ & (table->sets - 1)) * SEPTEM_WAYS];
    for (unsigned j = 0; j < SEPTEM_WAYS; j++) {
      if (set[j].entry == NULL) continue;
      table->evicted++;
      empty_way(table, &set[j]);
    }
  }
  return table->bytes + bytes <= table->max_bytes;
}

bool septem_table_put(septem_table_t *table, const septem_payload *payload, text key) {
  septem_values values;
  if (!septem_values_split(payload->own, &values) || !septem_values_allowed(payload->own))
    return false;
  size_t size = entry_size(key.length, payload->own.length);
  if (key.length > UINT16_MAX || payload->own.length > UINT16_MAX || payload->scope > UINT16_MAX)
    return false;
  /* Before anything is dropped: what is dropped may hold the last reference of a profile that is
   * known, and so was not read. */
  septem_profile *profile = hold_profile(table, payload);
  if (profile == NULL) return false;
  /* By an eighth and a little more, for what the allocator adds. */
  bool fits = profile->slots <= values.count && make_space(table, size / 8 * 9 + 64);
  septem_entry *entry = fits ? malloc(size) : NULL;
  if (entry == NULL) {
    release_profile(table, profile);
    return false;
  }
  uint64_t h = hash(table->seed, payload->scope, key);
  septem_way *way = find_way(table, h, payload->scope, key);
  if (way != NULL) empty_way(table, way);
  uint64_t lasts_s = (payload->until_ms - payload->from_ms) / 1000;
  *entry = (septem_entry){
      .profile = profile,
      .until_ms = payload->until_ms,
      .lasts_s = lasts_s > UINT32_MAX ? UINT32_MAX : (uint32_t)lasts_s,
      .scope = (uint16_t)payload->scope,
      .credit = payload->credit,
      .references = 1,
      .key_length = (uint16_t)key.length,
      .own_length = (uint16_t)payload->own.length,
  };
  memcpy(entry->bytes, key.at, key.length);
  memcpy(entry->bytes + key.length, payload->own.at, payload->own.length);
  table->bytes += cost_of(entry);
  table->entries++;
  way = free_way(table, set_of(table, h));
  *way = (septem_way){entry, (uint32_t)(h >> 32), 1};
  return true;
}
