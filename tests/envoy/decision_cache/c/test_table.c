/* The table of answers: its bounds, what it evicts, what is shared. */
#include <string.h>

#include "check.h"
#include "table.h"

#define COMMON "l\x1f\x1aT\x1aI\x1eh\x1fx-user-id\x1f\x1a" "0"

static septem_table_t table;

static bool put(const char *key, const char *common, const char *own) {
  septem_payload payload = {
      .from_ms = 1,
      .until_ms = 2,
      .scope = 1,
      .credit = SEPTEM_NO_CREDIT,
      .common = {common, strlen(common)},
      .own = {own, strlen(own)},
  };
  return septem_table_put(&table, &payload, (text){key, strlen(key)});
}

static septem_entry *find(const char *key) {
  return septem_table_find(&table, 1, (text){key, strlen(key)});
}

static void test_it_finds_what_was_put(void) {
  CHECK(septem_table_init(&table, 1024, 1 << 20, 1));
  CHECK(find("a") == NULL && put("a", COMMON, "one") && put("b", COMMON, "two"));
  CHECK(text_equal(septem_entry_own(find("a")), TEXT("one")));
  CHECK(text_equal(septem_entry_own(find("b")), TEXT("two")));
  CHECK(septem_table_find(&table, 2, TEXT("a")) == NULL && find("ab") == NULL);
  CHECK(put("a", COMMON, "three") && table.entries == 2);
  CHECK(text_equal(septem_entry_own(find("a")), TEXT("three")));
  CHECK(find("a")->profile == find("b")->profile && table.profile_count == 1);
  CHECK(put("c", COMMON "\x1em\x1fk\x1fv", "x") && table.profile_count == 2);
  septem_table_drop(&table, 1, TEXT("c"));
  CHECK(find("c") == NULL && table.profile_count == 1 && table.entries == 2);
  septem_table_free(&table);
  CHECK(table.bytes == 1024 * sizeof(septem_way) && table.profile_count == 0);
}

/* As if two hashes were equal: the whole key decides, not its hash. */
static void test_no_hash_is_trusted(void) {
  septem_table_t other;
  for (int scopes = 0; scopes < 2; scopes++) {
    CHECK(septem_table_init(&table, 4, 1 << 20, 1));
    septem_payload payload = {.until_ms = 2, .scope = 1 + (uint32_t)scopes, .common = TEXT(COMMON), .own = TEXT("x")};
    text wanted = scopes ? TEXT("aaaa") : TEXT("bbbb");
    CHECK(septem_table_put(&table, &payload, wanted));
    uint32_t tag = table.ways[0].tag;
    septem_table_free(&table);
    CHECK(septem_table_init(&other, 4, 1 << 20, 1));
    payload.scope = 1;
    CHECK(septem_table_put(&other, &payload, TEXT("aaaa")));
    other.ways[0].tag = tag;
    CHECK(septem_table_find(&other, 1 + (uint32_t)scopes, wanted) == NULL);
    septem_table_free(&other);
  }
}

static void test_what_a_stream_holds_outlives_the_table(void) {
  CHECK(septem_table_init(&table, 1024, 1 << 20, 1));
  CHECK(put("a", COMMON, "one"));
  septem_entry *held = septem_entry_hold(find("a"));
  CHECK(put("a", COMMON, "two"));
  CHECK(text_equal(septem_entry_own(held), TEXT("one")));
  septem_table_clear(&table);
  CHECK(find("a") == NULL && table.entries == 0 && table.bytes > 1024 * sizeof(septem_way));
  CHECK(text_equal(septem_record_name(held->profile, held->profile->records), TEXT("x-user-id")));
  septem_entry_release(&table, held);
  CHECK(table.bytes == 1024 * sizeof(septem_way));
  septem_table_free(&table);
}

/* Tokens without end: never more entries than configured, never more bytes. */
static void test_its_bounds_hold(uint32_t entries, uint64_t bytes, size_t own_length) {
  static char own[4096], common[6000];
  CHECK(septem_table_init(&table, entries, bytes, 1));
  memset(own, 'x', own_length);
  own[own_length] = 0;
  uint64_t kept = 0;
  for (int i = 0; i < 20000; i++) {
    char key[40];
    snprintf(key, sizeof key, "Bearer token-%d", i);
    snprintf(common, sizeof common, COMMON "\x1em\x1fk\x1f%0*d", i % 7 * 500, i % 97);
    kept += put(key, common, own);
    CHECK(table.entries <= entries && table.bytes <= bytes);
    CHECK(table.profile_count <= SEPTEM_MAX_PROFILES);
    if (i % 11 == 0) CHECK(find(key) != NULL);
  }
  CHECK(kept == 20000 && table.evicted > 0 && table.entries > 100);
  septem_table_free(&table);
}

static void test_a_set_keeps_what_is_used(void) {
  CHECK(septem_table_init(&table, 4, 1 << 20, 1)); /* one set */
  CHECK(put("a", COMMON, "x") && put("b", COMMON, "x") && put("c", COMMON, "x") && put("d", COMMON, "x"));
  CHECK(put("e", COMMON, "x")); /* all had been used: the round clears that */
  unsigned lost = !find("a") + !find("b") + !find("c") + !find("d");
  CHECK(lost == 1 && find("e"));
  for (int i = 0; i < 4; i++) table.ways[i].used = 0;
  CHECK(find("e"));
  for (int i = 0; i < 3; i++) {
    char key[] = {(char)('p' + i), 0};
    CHECK(put(key, COMMON, "x"));
    CHECK(find("e")); /* used since it was looked at */
  }
  septem_table_free(&table);
}

static void test_profiles_are_bounded(void) {
  char common[200];
  CHECK(septem_table_init(&table, 65536, 1ull << 30, 1));
  for (unsigned i = 0; i <= SEPTEM_MAX_PROFILES; i++) {
    char key[40];
    snprintf(key, sizeof key, "Bearer token-%u", i);
    snprintf(common, sizeof common, COMMON "\x1em\x1fk\x1f%u", i);
    CHECK(put(key, common, "x") == (i < SEPTEM_MAX_PROFILES));
  }
  septem_table_free(&table);
}

static void test_own_values_must_fill_the_slots(void) {
  CHECK(septem_table_init(&table, 1024, 1 << 20, 1));
  septem_payload wide = {.until_ms = 2, .scope = 65536, .common = TEXT(COMMON), .own = TEXT("x")};
  CHECK(!septem_table_put(&table, &wide, TEXT("a")));
  CHECK(!put("a", COMMON "\x1eh\x1fx-two\x1f\x1a" "1", "one"));
  CHECK(put("a", COMMON "\x1eh\x1fx-two\x1f\x1a" "1", "one\x1ftwo"));
  CHECK(!put("b", COMMON, "a\nb") && !put("b", COMMON, "a\x1e" "b") && !put("b", COMMON, "\xc3\xa4"));
  CHECK(!put("b", COMMON, "1\x1f" "2\x1f" "3\x1f" "4\x1f" "5\x1f" "6\x1f" "7\x1f" "8\x1f" "9\x1f"
                          "10\x1f" "11\x1f" "12\x1f" "13\x1f" "14\x1f" "15\x1f" "16\x1f" "17"));
  CHECK(table.entries == 1 && table.profile_count == 1);
  septem_table_free(&table);
}

static void test_a_common_part_that_is_not_allowed(void) {
  static const struct {
    const char *name, *common;
  } rows[] = {
      {"nothing", ""},
      {"no line", "h\x1fx-a\x1f" "1"},
      {"two lines", "l\x1f\x1aT\x1aI\x1el\x1f\x1aT\x1aI"},
      {"a line without its time", "l\x1f\x1aI"},
      {"a line without its decision", "l\x1f\x1aT"},
      {"a line with two decisions", "l\x1f\x1aT\x1aI\x1aI"},
      {"a line of two fields", "l\x1f\x1aT\x1aI\x1fx"},
      {"another insertion", "l\x1f\x1aT\x1aI\x1aX"},
      {"an insertion of nothing", "l\x1f\x1aT\x1aI\x1a"},
      {"a time in a header", COMMON "\x1eh\x1fx-a\x1f\x1aT"},
      {"another operation", COMMON "\x1eq\x1fx-a\x1f" "1"},
      {"an operation of two bytes", COMMON "\x1ehh\x1fx-a\x1f" "1"},
      {"no operation", COMMON "\x1e\x1fx-a\x1f" "1"},
      {"an empty record", COMMON "\x1e"},
      {"a header without a value", COMMON "\x1eh\x1fx-a"},
      {"a header with two values", COMMON "\x1eh\x1fx-a\x1f" "1\x1f" "2"},
      {"a removal with a value", COMMON "\x1e" "d\x1fx-a\x1f" "1"},
      {"a name of no bytes", COMMON "\x1eh\x1f\x1f" "1"},
      {"a name with capitals", COMMON "\x1eh\x1fX-A\x1f" "1"},
      {"a name with a space", COMMON "\x1eh\x1fx a\x1f" "1"},
      {"a name with a line feed", COMMON "\x1eh\x1fx\na\x1f" "1"},
      {"a pseudo header", COMMON "\x1eh\x1f:path\x1f/admin"},
      {"the host", COMMON "\x1eh\x1fhost\x1f" "a"},
      {"the host, removed", COMMON "\x1e" "d\x1fhost"},
      {"the length", COMMON "\x1eh\x1f" "content-length\x1f" "0"},
      {"the coding", COMMON "\x1e" "d\x1ftransfer-encoding"},
      {"the token", COMMON "\x1eh\x1f" "authorization\x1fx"},
      {"a value with a line feed", COMMON "\x1e" "2\x1fx-a\x1f" "1\nx-b: 1"},
      {"a value with a return", COMMON "\x1e" "2\x1fx-a\x1f" "1\rx"},
      {"a line feed before a slot's digit", COMMON "\x1e" "2\x1fx-a\x1f\n" "0"},
      {"a line with a line feed", "l\x1f\x1aT\x1aI\nM"},
      {"a value with DEL", COMMON "\x1e" "2\x1fx-a\x1f\x7f"},
      {"a value that is not ASCII", COMMON "\x1e" "2\x1fx-a\x1f\xc3\xa4"},
      {"one header twice", COMMON "\x1eh\x1fx-user-id\x1f" "2"},
      {"set and removed", COMMON "\x1e" "d\x1fx-user-id"},
      {"two actions for one response header", COMMON "\x1e" "1\x1fx-a\x1f" "1\x1e" "2\x1fx-a\x1f" "1"},
      {"one key twice", COMMON "\x1em\x1fk\x1f" "1\x1em\x1fk\x1f" "2"},
      {"the payload's own key", COMMON "\x1em\x1f" SEPTEM_PAYLOAD_KEY "\x1f" "1"},
  };
  char many[4000] = COMMON;
  CHECK(septem_table_init(&table, 1024, 1 << 20, 1));
  for (size_t i = 0; i < LENGTH(rows); i++) CHECK_ROW(rows[i].name, !put("a", rows[i].common, "x"));
  CHECK(table.entries == 0 && table.profile_count == 0 && find("a") == NULL);
  CHECK(put("a", COMMON "\x1e" "0\x1fx-a\x1f" "1\x1e" "0\x1fx-a\x1f" "2", "x")); /* two lines are two */
  for (unsigned i = 0; i < SEPTEM_MAX_RECORDS - 2; i++)
    snprintf(many + strlen(many), 40, "\x1e" "d\x1fx-%u", i);
  CHECK(put("b", many, "x"));
  CHECK(!put("b", strcat(many, "\x1e" "d\x1fx-more"), "x"));
  char name[SEPTEM_MAX_NAME + 2], one[300];
  memset(name, 'n', sizeof name);
  for (int extra = 0; extra < 2; extra++) {
    snprintf(one, sizeof one, COMMON "\x1e" "d\x1f%.*s", SEPTEM_MAX_NAME + extra, name);
    CHECK(put("c", one, "x") == !extra);
  }
  septem_table_free(&table);
}

static void test_a_payload_is_of_three_parts(void) {
#define HEAD "1\x1fs\x1f" "0\x1f" "1\x1f" "1\x1f" "2\x1f" "1\x1f" "0"
  static const struct {
    const char *name, *source;
    bool splits;
  } rows[] = {
      {"as it should be", HEAD "\x1d" "c\x1d" "o", true},
      {"empty parts", HEAD "\x1d\x1d", true},
      {"nothing", "", false},
      {"a head", HEAD, false},
      {"two parts", HEAD "\x1d" "c", false},
      {"four parts", HEAD "\x1d" "c\x1d" "o\x1d", false},
      {"another version", "2\x1fs\x1f" "0\x1f" "1\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
      {"a field less", "1\x1fs\x1f" "0\x1f" "1\x1f" "1\x1f" "2\x1f" "1\x1d\x1d", false},
      {"a field more", HEAD "\x1f" "0\x1d\x1d", false},
      {"a worker too many", "1\x1fs\x1f" "16\x1f" "1\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
      {"a negative epoch", "1\x1fs\x1f" "0\x1f-1\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
      {"a number with a zero", "1\x1fs\x1f" "0\x1f" "01\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
      {"a number of no digits", "1\x1fs\x1f" "0\x1f\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
      {"2**64", "1\x1fs\x1f" "0\x1f" "18446744073709551616\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
      {"2**64 - 1", "1\x1fs\x1f" "0\x1f" "18446744073709551615\x1f" "1\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", true},
      {"a scope of 33 bits", "1\x1fs\x1f" "0\x1f" "1\x1f" "1\x1f" "2\x1f" "4294967296\x1f" "0\x1d\x1d", false},
      {"over before it begins", "1\x1fs\x1f" "0\x1f" "1\x1f" "2\x1f" "2\x1f" "1\x1f" "0\x1d\x1d", false},
  };
  septem_payload payload;
  for (size_t i = 0; i < LENGTH(rows); i++)
    CHECK_ROW(rows[i].name, septem_payload_split((text){rows[i].source, strlen(rows[i].source)},
                                                 &payload) == rows[i].splits);
  static char large[SEPTEM_MAX_PAYLOAD + 2] = HEAD "\x1d\x1d";
  memset(large + strlen(large), 'x', sizeof large - 1 - strlen(large));
  CHECK(!septem_payload_split((text){large, SEPTEM_MAX_PAYLOAD + 1}, &payload));
  CHECK(septem_payload_split((text){large, SEPTEM_MAX_PAYLOAD}, &payload));
}

int main(void) {
  test_it_finds_what_was_put();
  test_no_hash_is_trusted();
  test_what_a_stream_holds_outlives_the_table();
  test_its_bounds_hold(1024, 1 << 20, 10);
  test_its_bounds_hold(8192, 1 << 20, 10);
  test_its_bounds_hold(1024, 1 << 20, 3000);
  test_a_set_keeps_what_is_used();
  test_profiles_are_bounded();
  test_own_values_must_fill_the_slots();
  test_a_common_part_that_is_not_allowed();
  test_a_payload_is_of_three_parts();
  return 0;
}
