#include "payload.h"

#include <stdlib.h>

static_assert(SEPTEM_MAX_NAME <= UINT8_MAX, "a name's length is kept in a byte");
static_assert(SEPTEM_MAX_PAYLOAD <= UINT16_MAX, "offsets are kept in two bytes");
static_assert(SEPTEM_MAX_RECORDS <= UINT8_MAX, "their numbers are kept in bytes");

static bool read_head(text head, septem_payload *payload) {
  text field[8];
  uint64_t number[8];
  static const uint64_t most[8] = {0, 0, SEPTEM_MAX_WORKERS - 1, UINT64_MAX,
                                   UINT64_MAX, UINT64_MAX, UINT32_MAX, UINT32_MAX};
  for (unsigned i = 0; i < 8; i++) {
    if (!text_next(&head, SEPTEM_UNIT, &field[i])) return false;
    if (i >= 2 && !text_number(field[i], most[i], &number[i])) return false;
  }
  if (head.at != NULL || !text_equal(field[0], TEXT(SEPTEM_PAYLOAD_VERSION))) return false;
  payload->secret = field[1];
  payload->worker = (uint32_t)number[2];
  payload->epoch = number[3];
  payload->from_ms = number[4];
  payload->until_ms = number[5];
  payload->scope = (uint32_t)number[6];
  payload->credit = (uint32_t)number[7];
  return payload->from_ms < payload->until_ms;
}

static bool read_place(text source, septem_payload *payload) {
  uint64_t number[3];
  text field;
  source.at++, source.length--; /* SEPTEM_PLACED */
  for (unsigned i = 0; i < 3; i++)
    if (!text_next(&source, SEPTEM_UNIT, &field) || !text_number(field, UINT32_MAX, &number[i]))
      return false;
  payload->place = (septem_place){(uint32_t)number[0], (uint32_t)number[1], (uint32_t)number[2]};
  payload->is_placed = true;
  payload->common = (text){NULL, 0};
  return source.at == NULL;
}

bool septem_payload_split(text source, septem_payload *payload) {
  text head;
  payload->is_placed = false;
  if (source.length > SEPTEM_MAX_PAYLOAD) return false;
  return text_next(&source, SEPTEM_GROUP, &head) && text_next(&source, SEPTEM_GROUP, &payload->common) &&
         text_next(&source, SEPTEM_GROUP, &payload->own) && source.at == NULL &&
         read_head(head, payload) &&
         (payload->common.length == 0 || payload->common.at[0] != SEPTEM_PLACED ||
          read_place(payload->common, payload));
}

static bool is_printable(char c) { return c >= ' ' && c <= '~'; }

bool septem_values_split(text own, septem_values *values) {
  values->count = 0;
  while (own.at != NULL) {
    if (values->count == SEPTEM_MAX_SLOTS) return false;
    text_next(&own, SEPTEM_UNIT, &values->slot[values->count++]);
  }
  return true;
}

bool septem_values_allowed(text own) { return text_is_printable(own); }

static int operation_of(text code) {
  if (code.length != 1) return -1;
  switch (code.at[0]) {
    case 'h':
      return SEPTEM_SET_HEADER;
    case 'd':
      return SEPTEM_REMOVE_HEADER;
    case '0':
      return SEPTEM_ADD_RESPONSE;
    case '1':
      return SEPTEM_ADD_RESPONSE_IF_ABSENT;
    case '2':
      return SEPTEM_REPLACE_RESPONSE;
    case '3':
      return SEPTEM_REPLACE_RESPONSE_IF_PRESENT;
    case 'm':
      return SEPTEM_METADATA;
    case 'l':
      return SEPTEM_AUDIT_LINE;
    default:
      return -1;
  }
}

static bool name_allowed(text name, int operation) {
  if (name.length == 0 || name.length > SEPTEM_MAX_NAME) return false;
  for (size_t i = 0; i < name.length; i++) {
    char c = name.at[i];
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
      return false;
  }
  if (operation == SEPTEM_METADATA) return !text_equal(name, TEXT(SEPTEM_PAYLOAD_KEY));
  return !text_equal(name, TEXT("host")) && !text_equal(name, TEXT("transfer-encoding")) &&
         !text_equal(name, TEXT("content-length")) &&
         !(operation == SEPTEM_SET_HEADER && text_equal(name, TEXT("authorization")));
}

/* What a value inserts: the number of slots it needs, or -1 if it is not allowed. `T` and `I`
 * are counted, as a line without its time or its decision is no audit line. */
static int inserted(text value, bool is_line, bool *has_slots) {
  int slots = 0, times = 0, ids = 0;
  *has_slots = false;
  for (size_t i = 0; i < value.length; i++) {
    char c = value.at[i];
    if (is_printable(c)) continue;
    if (c != SEPTEM_INSERT || ++i == value.length) return -1;
    *has_slots = true;
    c = value.at[i];
    int slot = septem_slot_of(c);
    if (slot >= slots) slots = slot + 1;
    if (slot >= 0) continue;
    if (!is_line || memchr("TIMHPSRU", c, 8) == NULL) return -1;
    times += c == 'T';
    ids += c == 'I';
  }
  return is_line && (times != 1 || ids != 1) ? -1 : slots;
}

typedef struct {
  septem_record record[SEPTEM_MAX_RECORDS];
  uint8_t operation[SEPTEM_MAX_RECORDS];
  unsigned count;
  int slots;
} draft;

static bool read_record(text source, text common, draft *into) {
  text code, name = {source.at, 0}, value;
  bool has_slots;
  if (into->count == SEPTEM_MAX_RECORDS || !text_next(&source, SEPTEM_UNIT, &code)) return false;
  int operation = operation_of(code);
  if (operation < 0) return false;
  if (operation != SEPTEM_AUDIT_LINE &&
      (!text_next(&source, SEPTEM_UNIT, &name) || !name_allowed(name, operation)))
    return false;
  if (operation == SEPTEM_REMOVE_HEADER)
    value = (text){name.at, 0};
  else if (!text_next(&source, SEPTEM_UNIT, &value))
    return false;
  int slots = inserted(value, operation == SEPTEM_AUDIT_LINE, &has_slots);
  if (source.at != NULL || slots < 0) return false;
  if (slots > into->slots) into->slots = slots;
  into->operation[into->count] = (uint8_t)operation;
  into->record[into->count++] = (septem_record){
      .name = (uint16_t)(name.at - common.at),
      .value = (uint16_t)(value.at - common.at),
      .value_length = (uint16_t)value.length,
      .name_length = (uint8_t)name.length,
      .has_slots = has_slots,
  };
  return true;
}

/* Two actions for one name, or two values where the last would win, say nothing sensible. */
static bool is_consistent(const draft *from, text common) {
  unsigned lines = 0;
  for (unsigned i = 0; i < from->count; i++) {
    lines += from->operation[i] == SEPTEM_AUDIT_LINE;
    for (unsigned j = 0; j < i; j++) {
      bool request = from->operation[i] <= SEPTEM_REMOVE_HEADER;
      bool metadata = from->operation[i] == SEPTEM_METADATA;
      if ((from->operation[j] <= SEPTEM_REMOVE_HEADER) != request ||
          (from->operation[j] == SEPTEM_METADATA) != metadata ||
          from->operation[i] == SEPTEM_AUDIT_LINE || from->operation[j] == SEPTEM_AUDIT_LINE)
        continue;
      if (from->operation[i] == SEPTEM_ADD_RESPONSE && from->operation[j] == SEPTEM_ADD_RESPONSE)
        continue;
      if (text_equal((text){common.at + from->record[i].name, from->record[i].name_length},
                     (text){common.at + from->record[j].name, from->record[j].name_length}))
        return false;
    }
  }
  return lines == 1;
}

septem_profile *septem_profile_parse(text common) {
  draft found = {.count = 0};
  text rest = common, record;
  if (common.length > SEPTEM_MAX_PAYLOAD) return NULL;
  while (text_next(&rest, SEPTEM_RECORD, &record))
    if (!read_record(record, common, &found)) return NULL;
  if (!is_consistent(&found, common)) return NULL;
  size_t size = sizeof(septem_profile) + found.count * sizeof(septem_record) + common.length;
  septem_profile *profile = calloc(1, size);
  if (profile == NULL) return NULL;
  profile->common = (uint32_t)common.length;
  profile->slots = (uint8_t)found.slots;
  unsigned at = 0;
  for (unsigned operation = 0; operation < SEPTEM_OPERATIONS; operation++) {
    profile->first[operation] = (uint8_t)at;
    for (unsigned i = 0; i < found.count; i++) {
      if (found.operation[i] != operation) continue;
      profile->records[at++] = found.record[i];
      uint64_t *names =
          operation <= SEPTEM_REMOVE_HEADER ? &profile->request_names : &profile->response_names;
      *names |=
          septem_name_bit((text){common.at + found.record[i].name, found.record[i].name_length});
    }
  }
  profile->first[SEPTEM_OPERATIONS] = (uint8_t)at;
  memcpy((char *)&profile->records[at], common.at, common.length);
  return profile;
}

bool septem_record_fill(const septem_profile *profile, const septem_record *record,
                        const septem_values *values, char *buffer, size_t size, text *filled) {
  text value = septem_record_value(profile, record);
  *filled = value;
  if (!record->has_slots) return true;
  size_t used = 0;
  while (value.length > 0) {
    text part = value;
    if (value.at[0] == SEPTEM_INSERT) {
      int slot = septem_slot_of(value.at[1]);
      if (slot < 0 || (unsigned)slot >= values->count) return false;
      part = values->slot[slot];
      value.at += 2, value.length -= 2;
    } else {
      const char *next = memchr(value.at, SEPTEM_INSERT, value.length);
      if (next != NULL) part.length = (size_t)(next - value.at);
      value.at += part.length, value.length -= part.length;
    }
    if (part.length > size - used) return false;
    if (part.length) memcpy(buffer + used, part.at, part.length);
    used += part.length;
  }
  *filled = (text){buffer, used};
  return true;
}
