#define _GNU_SOURCE
#include "filter.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi.h"
#include "request.h"

enum {
  MAX_LEASES = 4,
  FILL_BYTES = SEPTEM_MAX_PAYLOAD * 2,
  MAX_SOURCE = 45,
  MAX_KEY = SEPTEM_MAX_HOST + 1 + SEPTEM_MAX_AUTHORIZATION,
};

static _Thread_local septem_lease *leases;

septem_lease *septem_filter_lease(const septem_config *config) {
  unsigned count = 0;
  for (septem_lease *each = leases; each != NULL; each = each->next, count++)
    if (septem_config_equal(&each->config, config)) return each;
  if (count >= MAX_LEASES) return NULL;
  /* Addresses and the clock: the hash need not be secret (table.c). */
  uint64_t seed = septem_clock_ns(CLOCK_MONOTONIC) ^ (uint64_t)(uintptr_t)&leases;
  septem_lease *fresh = septem_lease_new(config, seed);
  if (fresh == NULL) return NULL;
  fresh->next = leases;
  leases = fresh;
  return fresh;
}

void septem_filter_forget_thread(void) {
  while (leases != NULL) {
    septem_lease *next = leases->next;
    septem_lease_free(leases);
    leases = next;
  }
}

/* ---- repeating ---------------------------------------------------------------------------- */

/* The downstream address without its port, as the sidecar gets it; false if it is no IP. */
static bool read_source(void *envoy, text *source) {
  if (!SEPTEM_CALLBACK(http_filter_get_attribute_string)(envoy, SEPTEM_SOURCE_ADDRESS, source))
    return false;
  if (source->length > 0 && source->at[0] == '[') {
    const char *end = memchr(source->at, ']', source->length);
    if (end == NULL) return false;
    *source = (text){source->at + 1, (size_t)(end - source->at) - 1};
  } else if (source->length > 0) {
    const char *first = memchr(source->at, ':', source->length);
    if (first != NULL && first == memrchr(source->at, ':', source->length))
      source->length = (size_t)(first - source->at);
  }
  if (source->length == 0 || source->length > MAX_SOURCE) return false;
  for (size_t i = 0; i < source->length; i++) {
    char c = source->at[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '.' || c == ':')) return false;
  }
  return true;
}

static bool has_client_certificate(void *envoy) {
  bool presented = false;
  return SEPTEM_CALLBACK(http_filter_get_attribute_bool)(envoy, SEPTEM_CONNECTION_MTLS,
                                                         &presented) &&
         presented;
}

/* Which of a profile's records name a header that is there: a bit each. */
typedef struct {
  uint64_t word[(SEPTEM_MAX_RECORDS + 63) / 64];
} name_set;

static bool has_name(const name_set *set, unsigned record) {
  return set->word[record / 64] >> record % 64 & 1;
}

/* Of the records from `first` up to `end`, whose names' bits are in `names`. They are looked for
 * before anything is changed, as Envoy's texts live no longer. */
static void find_names(const septem_profile *profile, unsigned first, unsigned end, uint64_t names,
                       const septem_pair *headers, size_t count, name_set *present) {
  *present = (name_set){{0}};
  for (size_t i = 0; i < count; i++) {
    text name = headers[i].key;
    if ((names & septem_name_bit(name)) == 0) continue;
    for (unsigned j = first; j < end; j++)
      if (text_equal(septem_record_name(profile, &profile->records[j]), name))
        present->word[j / 64] |= 1ull << j % 64;
  }
}

/* What a request is changed to, worked out before anything is accounted or changed. */
typedef struct {
  text value[SEPTEM_MAX_RECORDS]; /* of the request's and the metadata's records */
  name_set present;
  char id[SEPTEM_ID_DIGITS];
  char filled[FILL_BYTES];
} prepared;

static bool prepare(prepared *change, const septem_profile *profile, const septem_values *values,
                    const septem_request *request) {
  size_t used = 0;
  find_names(profile, 0, profile->first[SEPTEM_REMOVE_HEADER + 1], profile->request_names,
             request->headers, request->count, &change->present);
  for (unsigned i = 0; i < profile->first[SEPTEM_AUDIT_LINE]; i++) {
    if (i >= profile->first[SEPTEM_ADD_RESPONSE] && i < profile->first[SEPTEM_METADATA]) continue;
    if (!septem_record_fill(profile, &profile->records[i], values, change->filled + used,
                            sizeof change->filled - used, &change->value[i]))
      return false;
    if (profile->records[i].has_slots) used += change->value[i].length;
  }
  return true;
}

static void change_request(const prepared *change, const septem_profile *profile, void *envoy) {
  unsigned i = profile->first[SEPTEM_SET_HEADER];
  for (; i < profile->first[SEPTEM_REMOVE_HEADER]; i++) {
    text name = septem_record_name(profile, &profile->records[i]);
    /* To add is the cheaper one: Envoy need not look for what it replaces. */
    if (has_name(&change->present, i))
      SEPTEM_CALLBACK(http_set_header)(envoy, SEPTEM_REQUEST_HEADERS, name, change->value[i]);
    else
      SEPTEM_CALLBACK(http_add_header)(envoy, SEPTEM_REQUEST_HEADERS, name, change->value[i]);
  }
  for (; i < profile->first[SEPTEM_REMOVE_HEADER + 1]; i++)
    if (has_name(&change->present, i))
      SEPTEM_CALLBACK(http_set_header)(envoy, SEPTEM_REQUEST_HEADERS,
                                       septem_record_name(profile, &profile->records[i]),
                                       (text){NULL, 0});
  septem_pair metadata[SEPTEM_MAX_RECORDS + 1];
  size_t count = 0;
  for (i = profile->first[SEPTEM_METADATA]; i < profile->first[SEPTEM_METADATA + 1]; i++)
    metadata[count++] =
        (septem_pair){septem_record_name(profile, &profile->records[i]), change->value[i]};
  /* As of an answer that was asked for: the access log has one field for both. */
  metadata[count++] =
      (septem_pair){TEXT(SEPTEM_DECISION_ID_KEY), {change->id, SEPTEM_ID_DIGITS}};
  SEPTEM_CALLBACK(http_set_dynamic_metadata_string_batch)(envoy, TEXT(SEPTEM_PAYLOAD_NAMESPACE),
                                                          metadata, count);
  const septem_pair own[] = {
      {TEXT(SEPTEM_REPEATED_KEY), TEXT("1")},
      {TEXT(SEPTEM_DECISION_ID_KEY), {change->id, SEPTEM_ID_DIGITS}},
  };
  SEPTEM_CALLBACK(http_set_dynamic_metadata_string_batch)(envoy, TEXT(SEPTEM_OWN_NAMESPACE), own, 2);
}

/* Write the line and spend the credit; what it is counted as. */
static enum septem_count account(septem_lease *lease, const septem_entry *entry,
                                 const septem_values *values, const septem_facts *facts,
                                 char id[SEPTEM_ID_DIGITS]) {
  char line[SEPTEM_MAX_LINE];
  if (lease->writer.issued == UINT32_MAX) {
    septem_lease_drop(lease); /* another ring has other ids */
    return SEPTEM_ASKED_RING;
  }
  septem_writer_next_id(&lease->writer, id);
  size_t length = septem_audit_line(entry->profile, values, facts, line);
  if (length == 0) return SEPTEM_ASKED_RING;
  enum septem_space space = septem_writer_space(&lease->writer, length);
  if (space == SEPTEM_LIES) septem_lease_drop(lease);
  if (space != SEPTEM_FITS) return SEPTEM_ASKED_RING;
  if (!septem_lease_spend(lease, entry->credit)) return SEPTEM_ASKED_CREDIT;
  septem_writer_append(&lease->writer, line, length);
  return SEPTEM_REPEATED;
}

/* Repeat an answer; what it is counted as. Nothing of the request is changed but by
 * SEPTEM_REPEATED. */
static enum septem_count repeat(septem_filter *filter, septem_entry *entry,
                                const septem_request *request, uint64_t began_ns, void *envoy) {
  septem_lease *lease = filter->lease;
  septem_values values;
  prepared change;
  septem_facts facts = {.request = request, .id = change.id};
  if (!read_source(envoy, &facts.source) || has_client_certificate(envoy)) return SEPTEM_ASKED_KIND;
  if (!septem_values_split(septem_entry_own(entry), &values)) return SEPTEM_ASKED_MISS;
  facts.wall_ms = septem_clock_ns(CLOCK_REALTIME) / 1000000;
  if (facts.wall_ms < septem_entry_from_ms(entry) || facts.wall_ms >= entry->until_ms) {
    septem_table_drop(&lease->table, entry->scope, septem_entry_key(entry));
    return SEPTEM_ASKED_ENDED;
  }
  if (!prepare(&change, entry->profile, &values, request)) return SEPTEM_ASKED_MISS;
  facts.latency_us = (septem_clock_ns(CLOCK_MONOTONIC) - began_ns) / 1000;
  enum septem_count how = account(lease, entry, &values, &facts, change.id);
  if (how != SEPTEM_REPEATED) return how;
  change_request(&change, entry->profile, envoy);
  filter->repeated = septem_entry_hold(entry);
  return SEPTEM_REPEATED;
}

/* What an answer is remembered by, beside its scope. A route may have any host, and an answer
 * depends on it: whose domain it is, and what its policies name. A host has none of the bytes
 * that end it here; nearly every authorization begins with the same word, and the byte says so. */
static text key_of(const septem_request *request, char space[MAX_KEY]) {
  text host = request->host, authorization = request->authorization;
  bool usual = text_starts(authorization, TEXT("Bearer "));
  if (usual) authorization.at += 7, authorization.length -= 7;
  memcpy(space, host.at, host.length);
  space[host.length] = usual ? ' ' : '=';
  memcpy(space + host.length + 1, authorization.at, authorization.length);
  return (text){space, host.length + 1 + authorization.length};
}

static void note_to_learn(septem_filter *filter, text key) {
  filter->key = malloc(key.length);
  if (filter->key == NULL) return;
  memcpy(filter->key, key.at, key.length);
  filter->key_length = (uint32_t)key.length;
  filter->generation = filter->lease->generation;
}

static enum septem_count decide(septem_filter *filter, void *envoy, bool has_body,
                                uint64_t began_ns, bool may_learn) {
  septem_lease *lease = filter->lease;
  septem_request request;
  switch (septem_lease_check(lease, began_ns)) {
    case SEPTEM_NO_LEASE:
      return SEPTEM_ASKED_LEASE;
    case SEPTEM_NEW_EPOCH:
      return SEPTEM_ASKED_EPOCH;
    case SEPTEM_YES:
      break;
  }
  if (!septem_request_read(envoy, has_body, &request)) return SEPTEM_ASKED_KIND;
  const septem_row *row =
      septem_routes_find(&lease->routes, request.method, request.host, request.path);
  if (row == NULL || !septem_request_suits(&request, row)) return SEPTEM_ASKED_ROUTE;
  filter->scope = row->scope;
  char space[MAX_KEY];
  text key = key_of(&request, space);
  septem_entry *entry = septem_table_find(&lease->table, row->scope, key);
  enum septem_count how = SEPTEM_ASKED_MISS;
  if (entry != NULL) {
    septem_entry_hold(entry); /* it may be dropped meanwhile */
    how = repeat(filter, entry, &request, began_ns, envoy);
    septem_entry_release(&lease->table, entry);
  }
  if (may_learn && (how == SEPTEM_ASKED_MISS || how == SEPTEM_ASKED_ENDED))
    note_to_learn(filter, key);
  return how;
}

/* What stands in a metadata's key already; nobody but us and ext_authz has written there by now
 * in a sound configuration, and what a client's header was copied to must not count. */
static bool reset(void *envoy, text space, text key) {
  text found = {NULL, 0};
  if (!SEPTEM_CALLBACK(http_get_metadata_string)(envoy, SEPTEM_DYNAMIC_METADATA, space, key, &found))
    return false;
  SEPTEM_CALLBACK(http_set_dynamic_metadata_string)(envoy, space, key, TEXT(""));
  return true;
}

void septem_filter_request(septem_filter *filter, void *envoy, bool has_body) {
  uint64_t began_ns = septem_clock_ns(CLOCK_MONOTONIC);
  reset(envoy, TEXT(SEPTEM_OWN_NAMESPACE), TEXT(SEPTEM_REPEATED_KEY));
  bool forged = reset(envoy, TEXT(SEPTEM_PAYLOAD_NAMESPACE), TEXT(SEPTEM_PAYLOAD_KEY));
  filter->lease = septem_filter_lease(filter->config);
  if (filter->lease == NULL) return;
  septem_lease_count(filter->lease, decide(filter, envoy, has_body, began_ns, !forged));
}

/* ---- learning ----------------------------------------------------------------------------- */

static bool learn(septem_filter *filter, void *envoy) {
  septem_lease *lease = filter->lease;
  septem_payload payload;
  text source = {NULL, 0};
  if (septem_lease_check(lease, septem_clock_ns(CLOCK_MONOTONIC)) != SEPTEM_YES ||
      lease->generation != filter->generation)
    return false;
  if (!SEPTEM_CALLBACK(http_get_metadata_string)(envoy, SEPTEM_DYNAMIC_METADATA,
                                                 TEXT(SEPTEM_PAYLOAD_NAMESPACE),
                                                 TEXT(SEPTEM_PAYLOAD_KEY), &source))
    return false;
  char space[SEPTEM_MAX_PAYLOAD];
  if (!septem_payload_split(source, &payload) || !septem_lease_vouches(lease, &payload) ||
      payload.scope != filter->scope)
    return false;
  if (payload.is_placed && !septem_table_knows(&lease->table, &payload) &&
      !septem_lease_common(lease, &payload, space))
    return false;
  return septem_table_put(&lease->table, &payload, (text){filter->key, filter->key_length});
}

static void forget_key(septem_filter *filter) {
  if (filter->key == NULL) return;
  explicit_bzero(filter->key, filter->key_length);
  free(filter->key);
  filter->key = NULL;
}

static void show_table(septem_lease *lease) {
  if (lease->writer.memory == NULL) return;
  uint64_t *count = lease->writer.memory->count;
  __atomic_store_n(&count[SEPTEM_ENTRIES], lease->table.entries, __ATOMIC_RELAXED);
  __atomic_store_n(&count[SEPTEM_BYTES], lease->table.bytes, __ATOMIC_RELAXED);
  __atomic_store_n(&count[SEPTEM_EVICTED], lease->table.evicted, __ATOMIC_RELAXED);
}

/* A response of more headers is asked for each name. */
static void find_response_names(const septem_profile *profile, void *envoy, name_set *present) {
  septem_pair headers[SEPTEM_MAX_HEADERS];
  unsigned first = profile->first[SEPTEM_ADD_RESPONSE], end = profile->first[SEPTEM_METADATA];
  size_t count = SEPTEM_CALLBACK(http_get_headers_size)(envoy, SEPTEM_RESPONSE_HEADERS);
  if (count <= SEPTEM_MAX_HEADERS &&
      SEPTEM_CALLBACK(http_get_headers)(envoy, SEPTEM_RESPONSE_HEADERS, headers)) {
    find_names(profile, first, end, profile->response_names, headers, count, present);
    return;
  }
  *present = (name_set){{0}};
  for (unsigned i = first; i < end; i++) {
    text name = septem_record_name(profile, &profile->records[i]), found;
    if (SEPTEM_CALLBACK(http_get_header)(envoy, SEPTEM_RESPONSE_HEADERS, name, &found, 0, &count))
      present->word[i / 64] |= 1ull << i % 64;
  }
}

static void change_response(const septem_entry *entry, void *envoy) {
  const septem_profile *profile = entry->profile;
  septem_values values;
  name_set present;
  char filled[FILL_BYTES];
  if (!septem_values_split(septem_entry_own(entry), &values)) return;
  find_response_names(profile, envoy, &present);
  for (unsigned operation = SEPTEM_ADD_RESPONSE; operation <= SEPTEM_REPLACE_RESPONSE_IF_PRESENT;
       operation++) {
    for (unsigned i = profile->first[operation]; i < profile->first[operation + 1]; i++) {
      text name = septem_record_name(profile, &profile->records[i]), value;
      if (!septem_record_fill(profile, &profile->records[i], &values, filled, sizeof filled, &value))
        continue;
      /* One name has one action, so that what is there is what was there. */
      bool is_there = has_name(&present, i);
      if (operation == (is_there ? SEPTEM_ADD_RESPONSE_IF_ABSENT : SEPTEM_REPLACE_RESPONSE_IF_PRESENT))
        continue;
      if (!is_there || operation == SEPTEM_ADD_RESPONSE)
        SEPTEM_CALLBACK(http_add_header)(envoy, SEPTEM_RESPONSE_HEADERS, name, value);
      else
        SEPTEM_CALLBACK(http_set_header)(envoy, SEPTEM_RESPONSE_HEADERS, name, value);
    }
  }
}

void septem_filter_response(septem_filter *filter, void *envoy) {
  if (filter->repeated != NULL) {
    change_response(filter->repeated, envoy);
    return;
  }
  if (filter->key == NULL) return;
  bool learnt = learn(filter, envoy);
  /* For this stream's other filters and its log it is only ballast. */
  if (reset(envoy, TEXT(SEPTEM_PAYLOAD_NAMESPACE), TEXT(SEPTEM_PAYLOAD_KEY)))
    septem_lease_count(filter->lease, learnt ? SEPTEM_LEARNT : SEPTEM_NOT_LEARNT);
  show_table(filter->lease);
  forget_key(filter);
}

void septem_filter_end(septem_filter *filter) {
  forget_key(filter);
  if (filter->repeated != NULL) septem_entry_release(&filter->lease->table, filter->repeated);
  filter->repeated = NULL;
}
