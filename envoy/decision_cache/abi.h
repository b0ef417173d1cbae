/* The part of Envoy's dynamic-module ABI (v0.2.0: Envoy 1.40 and 1.41) that the module uses.
 *
 * Declared here because Envoy's own header is of 700 KB and of one version; the functions below
 * have been the same since v0.1.0. Source: envoyproxy/envoy, source/extensions/dynamic_modules.
 * A function that Envoy does not have makes it refuse the module when it is loaded.
 */
#ifndef SEPTEM_ABI_H
#define SEPTEM_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text.h"

#define SEPTEM_ABI_VERSION "v0.2.0"

/* A name and a value: Envoy's header and its key-value pair have this layout both. */
typedef struct {
  text key;
  text value;
} septem_pair;

enum septem_header_map { SEPTEM_REQUEST_HEADERS = 0, SEPTEM_RESPONSE_HEADERS = 2 };
enum septem_metadata_source { SEPTEM_DYNAMIC_METADATA = 0 };
enum septem_attribute { SEPTEM_SOURCE_ADDRESS = 24, SEPTEM_CONNECTION_MTLS = 29 };
enum septem_log_level { SEPTEM_LOG_WARN = 3, SEPTEM_LOG_ERROR = 4 };
enum septem_status { SEPTEM_CONTINUE = 0 };

#define SEPTEM_CALLBACK(name) envoy_dynamic_module_callback_##name
#define SEPTEM_EVENT(name) envoy_dynamic_module_on_##name

/* Callbacks. A text that Envoy returns lives as long as the header or metadata it is from. */
extern size_t SEPTEM_CALLBACK(http_get_headers_size)(void *envoy, int map);
extern bool SEPTEM_CALLBACK(http_get_headers)(void *envoy, int map, septem_pair *found);
extern bool SEPTEM_CALLBACK(http_get_header)(void *envoy, int map, text key, text *found,
                                             size_t index, size_t *count);
extern bool SEPTEM_CALLBACK(http_set_header)(void *envoy, int map, text key, text value);
extern bool SEPTEM_CALLBACK(http_add_header)(void *envoy, int map, text key, text value);
extern bool SEPTEM_CALLBACK(http_get_metadata_string)(void *envoy, int source, text space, text key,
                                                      text *found);
extern void SEPTEM_CALLBACK(http_set_dynamic_metadata_string)(void *envoy, text space, text key,
                                                              text value);
extern void SEPTEM_CALLBACK(http_set_dynamic_metadata_string_batch)(void *envoy, text space,
                                                                    const septem_pair *pairs,
                                                                    size_t count);
extern bool SEPTEM_CALLBACK(http_filter_get_attribute_string)(void *envoy, int id, text *found);
extern bool SEPTEM_CALLBACK(http_filter_get_attribute_bool)(void *envoy, int id, bool *found);
extern void SEPTEM_CALLBACK(log)(int level, text message);

/* Event hooks, which Envoy looks for by name: all that the file shows to the outside. */
#pragma GCC visibility push(default)
const char *SEPTEM_EVENT(program_init)(void);
const void *SEPTEM_EVENT(http_filter_config_new)(void *envoy, text name, text source);
void SEPTEM_EVENT(http_filter_config_destroy)(const void *config);
const void *SEPTEM_EVENT(http_filter_per_route_config_new)(text name, text source);
void SEPTEM_EVENT(http_filter_per_route_config_destroy)(const void *config);
const void *SEPTEM_EVENT(http_filter_new)(const void *config, void *envoy);
void SEPTEM_EVENT(http_filter_destroy)(const void *filter);
int SEPTEM_EVENT(http_filter_request_headers)(void *envoy, const void *filter, bool end);
int SEPTEM_EVENT(http_filter_request_body)(void *envoy, const void *filter, bool end);
int SEPTEM_EVENT(http_filter_request_trailers)(void *envoy, const void *filter);
int SEPTEM_EVENT(http_filter_response_headers)(void *envoy, const void *filter, bool end);
int SEPTEM_EVENT(http_filter_response_body)(void *envoy, const void *filter, bool end);
int SEPTEM_EVENT(http_filter_response_trailers)(void *envoy, const void *filter);
void SEPTEM_EVENT(http_filter_stream_complete)(void *envoy, const void *filter);
/* Of what the module never begins (callouts, streams, timers); their arguments are not read. */
void SEPTEM_EVENT(http_filter_http_callout_done)(void);
void SEPTEM_EVENT(http_filter_http_stream_headers)(void);
void SEPTEM_EVENT(http_filter_http_stream_data)(void);
void SEPTEM_EVENT(http_filter_http_stream_trailers)(void);
void SEPTEM_EVENT(http_filter_http_stream_complete)(void);
void SEPTEM_EVENT(http_filter_http_stream_reset)(void);
void SEPTEM_EVENT(http_filter_scheduled)(void);
void SEPTEM_EVENT(http_filter_downstream_above_write_buffer_high_watermark)(void);
void SEPTEM_EVENT(http_filter_downstream_below_write_buffer_low_watermark)(void);
extern const char septem_decision_cache_version[];
#pragma GCC visibility pop

#endif
