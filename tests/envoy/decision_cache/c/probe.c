/* The module's readings, asked a line at a time, to be compared with the sidecar's.
 *
 *   probe route IMAGE   METHOD NUL HOST NUL PATH    the row's scope, or - for "ask"
 *   probe query         QUERY                       1 where it may hold a token
 *   probe time          MILLISECONDS                as an audit line writes it
 *   probe id            X-REQUEST-ID                1 where it is written into an audit line
 */
#define _GNU_SOURCE
#include <string.h>

#include "audit.h"
#include "check.h"
#include "request.h"
#include "route.h"

static septem_routes routes = {.sequence = 1};

static void read_table(const char *path) {
  static uint64_t image[SEPTEM_CONTROL_BYTES(1) / 8];
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL && fread(image, 1, sizeof image, file) == sizeof image);
  fclose(file);
  CHECK(septem_routes_copy(&routes, image));
}

static void say_route(text line) {
  static const char *names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
  text method, host, path;
  CHECK(text_next(&line, 0, &method) && text_next(&line, 0, &host) && text_next(&line, 0, &path));
  uint32_t bit = 0;
  for (unsigned i = 0; i < LENGTH(names); i++)
    if (text_equal(method, (text){names[i], strlen(names[i])})) bit = 1u << i;
  const septem_row *row = NULL;
  if (septem_plain_host(host) && septem_plain_path(path))
    row = septem_routes_find(&routes, bit, host, path);
  if (row == NULL)
    puts("-");
  else
    printf("%u\n", row->scope);
}

static void say_time(text line) {
  char buffer[SEPTEM_MAX_LINE];
  septem_values values = {.count = 0};
  uint64_t number;
  CHECK(text_number(line, UINT64_MAX, &number));
  septem_facts facts = {.id = "01234567890123456789", .wall_ms = number};
  septem_profile *profile = septem_profile_parse(TEXT("l\x1f\x1aT\x1aI"));
  CHECK(profile != NULL);
  size_t length = septem_audit_line(profile, &values, &facts, buffer);
  printf("%.*s\n", (int)length - SEPTEM_ID_DIGITS - 1, buffer);
  free(profile);
}

int main(int count, char **arguments) {
  char *line = NULL;
  size_t size = 0;
  ssize_t length;
  CHECK(count >= 2);
  if (count == 3) read_table(arguments[2]);
  while ((length = getline(&line, &size, stdin)) > 0) {
    /* Of its exact size, for the sanitizer. */
    char *exact = malloc((size_t)length);
    CHECK(exact != NULL);
    memcpy(exact, line, (size_t)length);
    text whole = {exact, (size_t)length - 1};
    switch (arguments[1][0]) {
      case 'r': say_route(whole); break;
      case 'q': printf("%d\n", septem_query_may_hold_token(whole)); break;
      case 't': say_time(whole); break;
      case 'i': printf("%d\n", septem_is_request_id(whole)); break;
      default: CHECK(!"a reading of this name");
    }
    free(exact);
  }
  free(line);
  septem_routes_free(&routes);
  return 0;
}
