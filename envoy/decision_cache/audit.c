#include "audit.h"

#include <string.h>
#include <time.h>

bool septem_writer_open(septem_writer *writer, septem_ring *memory, size_t size, uint32_t count) {
  if (size < SEPTEM_RING_HEADER + SEPTEM_MIN_RING || size > SEPTEM_RING_HEADER + SEPTEM_MAX_RING)
    return false;
  uint64_t bytes = size - SEPTEM_RING_HEADER;
  if (memory->magic != SEPTEM_RING_MAGIC || memory->protocol != SEPTEM_PROTOCOL ||
      memory->header != SEPTEM_RING_HEADER || memory->bytes != bytes || (bytes & (bytes - 1)))
    return false;
  memcpy(writer->id, memory->id, sizeof writer->id);
  if (!text_is_hex((text){writer->id, sizeof writer->id})) return false;
  writer->memory = memory;
  writer->data = (char *)memory + SEPTEM_RING_HEADER;
  writer->bytes = bytes;
  writer->head = __atomic_load_n(&memory->head, __ATOMIC_RELAXED);
  writer->count = count;
  writer->issued = 0;
  return septem_writer_space(writer, 0) == SEPTEM_FITS;
}

enum septem_space septem_writer_space(const septem_writer *writer, size_t bytes) {
  uint64_t tail = __atomic_load_n(&writer->memory->tail, __ATOMIC_ACQUIRE);
  uint64_t filled = writer->head - tail;
  if (filled > writer->bytes) return SEPTEM_LIES;
  return writer->bytes - filled < bytes ? SEPTEM_FULL : SEPTEM_FITS;
}

void septem_writer_append(septem_writer *writer, const char *line, size_t length) {
  size_t at = (size_t)(writer->head & (writer->bytes - 1));
  size_t first = (size_t)writer->bytes - at;
  if (first > length) first = length;
  memcpy(writer->data + at, line, first);
  memcpy(writer->data, line + first, length - first);
  writer->head += length;
  __atomic_store_n(&writer->memory->head, writer->head, __ATOMIC_RELEASE);
}

void septem_writer_next_id(septem_writer *writer, char id[SEPTEM_ID_DIGITS]) {
  static const char digits[] = "0123456789abcdef";
  /* Odd, so that no two counts scatter to one number; as the sidecar's own ids. */
  uint32_t scattered = ++writer->count * 0x9e3779b1u;
  writer->issued++;
  memcpy(id, writer->id, SEPTEM_RING_ID);
  for (unsigned i = 0; i < 8; i++)
    id[SEPTEM_RING_ID + i] = digits[scattered >> (28 - 4 * i) & 15];
}

static char *put_digits(char *at, unsigned value, int width) {
  for (int i = width - 1; i >= 0; i--, value /= 10) at[i] = (char)('0' + value % 10);
  return at + width;
}

/* Days since 1970 to a date: Howard Hinnant's civil_from_days. gmtime_r would take a lock of
 * glibc's time zone in every thread. */
static text write_time(uint64_t wall_ms, char buffer[29]) {
  uint64_t seconds = wall_ms / 1000, days = seconds / 86400 + 719468;
  unsigned of_day = (unsigned)(seconds % 86400);
  unsigned era = (unsigned)(days / 146097), of_era = (unsigned)(days % 146097);
  unsigned year_of_era =
      (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  unsigned of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned shifted = (5 * of_year + 2) / 153;
  unsigned day = of_year - (153 * shifted + 2) / 5 + 1, month = shifted < 10 ? shifted + 3 : shifted - 9;
  char *at = put_digits(buffer, era * 400 + year_of_era + (month <= 2), 4);
  *at++ = '-';
  at = put_digits(at, month, 2);
  *at++ = '-';
  at = put_digits(at, day, 2);
  *at++ = 'T';
  at = put_digits(at, of_day / 3600, 2);
  *at++ = ':';
  at = put_digits(at, of_day / 60 % 60, 2);
  *at++ = ':';
  at = put_digits(at, of_day % 60, 2);
  *at++ = '.';
  at = put_digits(at, (unsigned)(wall_ms % 1000), 3);
  memcpy(at, "+00:00", 6);
  return (text){buffer, 29};
}

static text write_number(uint64_t value, char buffer[20]) {
  char *at = buffer + 20;
  do *--at = (char)('0' + value % 10);
  while (value /= 10);
  return (text){at, (size_t)(buffer + 20 - at)};
}

/* A whole member of the line, with the comma before it; nothing where there is no such id. */
static text write_request_id(text id, char buffer[SEPTEM_MAX_REQUEST_ID + 18]) {
  static const char name[] = ",\"request_id\":\"";
  if (id.length == 0) return TEXT("");
  memcpy(buffer, name, sizeof name - 1);
  memcpy(buffer + sizeof name - 1, id.at, id.length);
  buffer[sizeof name - 1 + id.length] = '"';
  return (text){buffer, sizeof name + id.length};
}

size_t septem_audit_line(const septem_profile *profile, const septem_values *values,
                         const septem_facts *facts, char line[SEPTEM_MAX_LINE]) {
  const septem_record *record = &profile->records[profile->first[SEPTEM_AUDIT_LINE]];
  text rest = septem_record_value(profile, record);
  char scratch[SEPTEM_MAX_REQUEST_ID + 18];
  size_t used = 0;
  while (rest.length > 0) {
    text part;
    if (rest.at[0] == SEPTEM_INSERT) {
      char what = rest.at[1];
      int slot = septem_slot_of(what);
      if (slot >= 0) {
        if ((unsigned)slot >= values->count) return 0;
        part = values->slot[slot];
      } else {
        switch (what) {
          case 'T': part = write_time(facts->wall_ms, scratch); break;
          case 'I': part = (text){facts->id, SEPTEM_ID_DIGITS}; break;
          case 'M': part = facts->request->method_name; break;
          case 'H': part = facts->request->host; break;
          case 'P': part = facts->request->path; break;
          case 'S': part = facts->source; break;
          case 'R': part = write_request_id(facts->request->request_id, scratch); break;
          default: part = write_number(facts->latency_us, scratch); break;
        }
      }
      rest.at += 2;
      rest.length -= 2;
    } else {
      const char *next = memchr(rest.at, SEPTEM_INSERT, rest.length);
      part = (text){rest.at, next == NULL ? rest.length : (size_t)(next - rest.at)};
      rest.at += part.length;
      rest.length -= part.length;
    }
    if (part.length >= SEPTEM_MAX_LINE - used) return 0; /* one byte is the line feed's */
    memcpy(line + used, part.at, part.length);
    used += part.length;
  }
  line[used++] = '\n';
  return used;
}
