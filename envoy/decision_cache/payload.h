/* A payload, parsed: what it says of an answer, and how an answer is repeated from it. */
#ifndef SEPTEM_PAYLOAD_H
#define SEPTEM_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "protocol.h"
#include "text.h"

/* Where a common part stands in its worker's area of the control memory. */
typedef struct {
  uint32_t offset;
  uint32_t length;
  uint32_t crc; /* zlib's, of the text: what is overwritten meanwhile is found out */
} septem_place;

typedef struct {
  text secret;
  uint32_t worker;
  uint64_t epoch;
  uint64_t from_ms;
  uint64_t until_ms;
  uint32_t scope;
  uint32_t credit;
  text common;        /* of a placed one NULL until it is read */
  bool is_placed;
  septem_place place; /* if so */
  text own;
} septem_payload;

/* Split a payload. False if it is not of this form; the parts are not looked into. */
bool septem_payload_split(text source, septem_payload *payload);

/* In this order they are carried out: a response's as Envoy's ext_authz does. */
enum septem_operation {
  SEPTEM_SET_HEADER,
  SEPTEM_REMOVE_HEADER,
  SEPTEM_ADD_RESPONSE,
  SEPTEM_REPLACE_RESPONSE,
  SEPTEM_ADD_RESPONSE_IF_ABSENT,
  SEPTEM_REPLACE_RESPONSE_IF_PRESENT,
  SEPTEM_METADATA,
  SEPTEM_AUDIT_LINE,
  SEPTEM_OPERATIONS
};

typedef struct {
  uint16_t name; /* offsets into the profile's text */
  uint16_t value;
  uint16_t value_length;
  uint8_t name_length;
  bool has_slots;
} septem_record;

/* What answers have in common: parsed once, shared by reference count. */
typedef struct septem_profile {
  struct septem_profile *next; /* in the table's bucket */
  uint32_t references;
  uint32_t hash;
  uint32_t common;       /* length of the text */
  uint64_t request_names;  /* a Bloom filter of the names that are set and removed */
  uint64_t response_names; /* and of a response's */
  uint64_t epoch;         /* of a placed one, with which it is known again */
  septem_place place;
  uint32_t worker;
  bool is_placed;
  uint8_t first[SEPTEM_OPERATIONS + 1]; /* records of operation n: first[n] to first[n + 1] */
  uint8_t slots;                        /* at least so many values must `own` have */
  septem_record records[];              /* then the text */
} septem_profile;

/* Parse `common`. NULL if anything in it is not allowed, or there is no memory. */
septem_profile *septem_profile_parse(text common);

static inline unsigned septem_record_count(const septem_profile *profile) {
  return profile->first[SEPTEM_OPERATIONS];
}

static inline const char *septem_profile_text(const septem_profile *profile) {
  return (const char *)&profile->records[septem_record_count(profile)];
}

static inline text septem_record_name(const septem_profile *profile, const septem_record *record) {
  return (text){septem_profile_text(profile) + record->name, record->name_length};
}

static inline text septem_record_value(const septem_profile *profile, const septem_record *record) {
  return (text){septem_profile_text(profile) + record->value, record->value_length};
}

/* The bit of a name in `request_names` and `response_names`. */
static inline uint64_t septem_name_bit(text name) {
  unsigned char last = name.length ? (unsigned char)name.at[name.length - 1] : 0;
  unsigned char first = name.length ? (unsigned char)name.at[name.length > 2 ? 2 : 0] : 0;
  return 1ull << ((name.length * 7 + last * 3u + first) & 63);
}

/* The values of `own`, to be inserted. */
typedef struct {
  text slot[SEPTEM_MAX_SLOTS];
  unsigned count;
} septem_values;

/* Split `own`; false if there are too many values. */
bool septem_values_split(text own, septem_values *values);

/* Whether no value has a byte that is not allowed. */
bool septem_values_allowed(text own);

/* A value with its slots filled in, in `buffer`, or as it is where there are none. False if the
 * buffer is too short. */
bool septem_record_fill(const septem_profile *profile, const septem_record *record,
                        const septem_values *values, char *buffer, size_t size, text *filled);

/* The slot that a byte after SEPTEM_INSERT names, or -1. */
static inline int septem_slot_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
