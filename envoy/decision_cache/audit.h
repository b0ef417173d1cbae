/* The audit lease: a finished line of each repeated answer, in the ring, before anything else. */
#ifndef SEPTEM_AUDIT_H
#define SEPTEM_AUDIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "payload.h"
#include "protocol.h"
#include "request.h"

#define SEPTEM_ID_DIGITS 20

/* One ring as its only writer sees it. What the memory says is not believed but for `tail`. */
typedef struct {
  septem_ring *memory; /* NULL: none */
  char *data;
  uint64_t bytes;
  uint64_t head; /* our own */
  char id[SEPTEM_RING_ID];
  uint32_t count;  /* of the decisions' ids; begins anywhere */
  uint32_t issued; /* ids are unique until this is UINT32_MAX */
} septem_writer;

/* Check a mapped ring of so many bytes in all and begin to write to it. */
bool septem_writer_open(septem_writer *writer, septem_ring *memory, size_t size, uint32_t count);

enum septem_space { SEPTEM_FITS, SEPTEM_FULL, SEPTEM_LIES };

/* Whether so many bytes can be written now. */
enum septem_space septem_writer_space(const septem_writer *writer, size_t bytes);

/* Publish a line that fits. */
void septem_writer_append(septem_writer *writer, const char *line, size_t length);

/* The next decision's id: the ring's digits, then those of a scattered count. */
void septem_writer_next_id(septem_writer *writer, char id[SEPTEM_ID_DIGITS]);

/* What a line is filled in with, beside the slots. */
typedef struct {
  const septem_request *request;
  text source;
  const char *id;
  uint64_t wall_ms;
  uint64_t latency_us;
} septem_facts;

/* Write the line of a profile, its line feed included, into a buffer; 0 if it is too long. */
size_t septem_audit_line(const septem_profile *profile, const septem_values *values,
                         const septem_facts *facts, char line[SEPTEM_MAX_LINE]);

#endif
