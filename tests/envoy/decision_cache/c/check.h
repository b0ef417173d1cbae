/* What the test programs have in common: a check that says where it failed. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                             \
  do {                                                                               \
    if (!(condition)) {                                                              \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
      exit(1);                                                                       \
    }                                                                                \
  } while (0)

/* In a table of cases, which one. */
#define CHECK_ROW(row, condition)                                                             \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      fprintf(stderr, "%s:%d: not so for \"%s\": %s\n", __FILE__, __LINE__, row, #condition); \
      exit(1);                                                                                \
    }                                                                                         \
  } while (0)

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

#endif
