/* A run of bytes that somebody else owns; not NUL-terminated. */
#ifndef SEPTEM_TEXT_H
#define SEPTEM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
  const char *at;
  size_t length;
} text;

#define TEXT(literal) ((text){(literal), sizeof(literal) - 1})

static inline bool text_equal(text a, text b) {
  return a.length == b.length && (a.length == 0 || memcmp(a.at, b.at, a.length) == 0);
}

static inline bool text_starts(text whole, text start) {
  return whole.length >= start.length &&
         (start.length == 0 || memcmp(whole.at, start.at, start.length) == 0);
}

static inline bool text_ends(text whole, text end) {
  return whole.length >= end.length &&
         (end.length == 0 ||
          memcmp(whole.at + whole.length - end.length, end.at, end.length) == 0);
}

/* Whether all bytes are printable ASCII, or one below it (0x1f, which separates texts). Eight at
 * once: where a byte has its upper bit it is none, and without it no sum carries into the next. */
static inline bool text_is_printable(text bytes) {
  const uint64_t ones = 0x0101010101010101ull, upper = 0x80 * ones;
  uint64_t wrong = 0;
  while (bytes.length > 0) {
    uint64_t word = 0x20 * ones;
    size_t part = bytes.length < sizeof word ? bytes.length : sizeof word;
    if (part == sizeof word)
      memcpy(&word, bytes.at, sizeof word);
    else
      memcpy(&word, bytes.at, part);
    wrong |= word | ~(word + (0x80 - 0x1f) * ones) | (word + ones);
    bytes.at += part;
    bytes.length -= part;
  }
  return (wrong & upper) == 0;
}

/* Cut what stands before the next separator off the front; false if nothing is left. */
static inline bool text_next(text *rest, char separator, text *part) {
  if (rest->at == NULL) return false;
  const char *found = rest->length ? memchr(rest->at, separator, rest->length) : NULL;
  if (found == NULL) {
    *part = *rest;
    *rest = (text){NULL, 0};
    return true;
  }
  *part = (text){rest->at, (size_t)(found - rest->at)};
  rest->length -= part->length + 1;
  rest->at = found + 1;
  return true;
}

/* Whether it is lower-case hexadecimal digits and nothing else. */
static inline bool text_is_hex(text digits) {
  for (size_t i = 0; i < digits.length; i++) {
    char c = digits.at[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
  }
  return digits.length > 0;
}

/* Read a decimal number without sign or leading zeros; false for anything else. */
static inline bool text_number(text digits, uint64_t most, uint64_t *number) {
  uint64_t value = 0;
  if (digits.length == 0 || digits.length > 20) return false;
  if (digits.length > 1 && digits.at[0] == '0') return false;
  for (size_t i = 0; i < digits.length; i++) {
    unsigned digit = (unsigned char)digits.at[i] - (unsigned)'0';
    if (digit > 9 || value > (UINT64_MAX - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *number = value;
  return value <= most;
}

#endif
