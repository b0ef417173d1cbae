/* What Envoy calls: the event hooks of the dynamic modules' HTTP filter (ABI v0.2.0). */
#include <stdlib.h>

#include "abi.h"
#include "filter.h"

#ifndef SEPTEM_VERSION
#define SEPTEM_VERSION "0"
#endif

/* To be found by `strings` in the file, whatever it is called. */
const char septem_decision_cache_version[] =
    "septem decision cache " SEPTEM_VERSION ", Envoy dynamic modules " SEPTEM_ABI_VERSION;

static septem_filter *filter_of(const void *filter) { return (septem_filter *)(uintptr_t)filter; }

static const void *refuse(const char *problem) {
  SEPTEM_CALLBACK(log)(SEPTEM_LOG_ERROR, (text){problem, strlen(problem)});
  return NULL;
}

const char *SEPTEM_EVENT(program_init)(void) { return SEPTEM_ABI_VERSION; }

const void *SEPTEM_EVENT(http_filter_config_new)(void *envoy, text name, text source) {
  (void)envoy, (void)name;
  septem_config *config = malloc(sizeof *config);
  if (config == NULL) return NULL;
  const char *problem = septem_config_read(source, config);
  if (problem == NULL) return config;
  free(config);
  return refuse(problem);
}

void SEPTEM_EVENT(http_filter_config_destroy)(const void *config) {
  free((void *)(uintptr_t)config);
}

/* A module's configuration per route is not reliable (envoy 47628). */
const void *SEPTEM_EVENT(http_filter_per_route_config_new)(text name, text source) {
  (void)name, (void)source;
  return refuse(
      "decision cache: there is no configuration per route; to leave it out of a route, use "
      "envoy.config.route.v3.FilterConfig with disabled: true");
}

void SEPTEM_EVENT(http_filter_per_route_config_destroy)(const void *config) { (void)config; }

const void *SEPTEM_EVENT(http_filter_new)(const void *config, void *envoy) {
  (void)envoy;
  septem_filter *filter = calloc(1, sizeof *filter);
  if (filter != NULL) filter->config = config;
  return filter;
}

void SEPTEM_EVENT(http_filter_destroy)(const void *filter) {
  if (filter == NULL) return;
  septem_filter_end(filter_of(filter));
  free(filter_of(filter));
}

int SEPTEM_EVENT(http_filter_request_headers)(void *envoy, const void *filter, bool end) {
  if (filter != NULL) septem_filter_request(filter_of(filter), envoy, !end);
  return SEPTEM_CONTINUE;
}

int SEPTEM_EVENT(http_filter_response_headers)(void *envoy, const void *filter, bool end) {
  (void)end;
  if (filter != NULL) septem_filter_response(filter_of(filter), envoy);
  return SEPTEM_CONTINUE;
}

int SEPTEM_EVENT(http_filter_request_body)(void *envoy, const void *filter, bool end) {
  (void)envoy, (void)filter, (void)end;
  return SEPTEM_CONTINUE;
}

int SEPTEM_EVENT(http_filter_request_trailers)(void *envoy, const void *filter) {
  (void)envoy, (void)filter;
  return SEPTEM_CONTINUE;
}

int SEPTEM_EVENT(http_filter_response_body)(void *envoy, const void *filter, bool end) {
  (void)envoy, (void)filter, (void)end;
  return SEPTEM_CONTINUE;
}

int SEPTEM_EVENT(http_filter_response_trailers)(void *envoy, const void *filter) {
  (void)envoy, (void)filter;
  return SEPTEM_CONTINUE;
}

void SEPTEM_EVENT(http_filter_stream_complete)(void *envoy, const void *filter) {
  (void)envoy, (void)filter;
}

void SEPTEM_EVENT(http_filter_http_callout_done)(void) {}
void SEPTEM_EVENT(http_filter_http_stream_headers)(void) {}
void SEPTEM_EVENT(http_filter_http_stream_data)(void) {}
void SEPTEM_EVENT(http_filter_http_stream_trailers)(void) {}
void SEPTEM_EVENT(http_filter_http_stream_complete)(void) {}
void SEPTEM_EVENT(http_filter_http_stream_reset)(void) {}
void SEPTEM_EVENT(http_filter_scheduled)(void) {}
void SEPTEM_EVENT(http_filter_downstream_above_write_buffer_high_watermark)(void) {}
void SEPTEM_EVENT(http_filter_downstream_below_write_buffer_low_watermark)(void) {}
