// Publishes the text of every message in capitals, to the topic `to` of its configuration.
//
// Capitals of ASCII only: C knows no others. What has bytes beyond ASCII passes as it is.

#include <stdlib.h>

#include "upper.h"

typedef exports_edgewit_pubsub_handler_delivery_t delivery_t;
typedef exports_edgewit_pubsub_handler_failure_t failure_t;

static bool reject(failure_t *failure, const char *reason) {
  failure->tag = EDGEWIT_PUBSUB_TYPES_FAILURE_REJECT;
  upper_string_dup(&failure->val.reject, reason);
  return false;
}

static bool configured_topic(upper_string_t *topic) {
  upper_string_t key;
  upper_string_set(&key, "to");
  upper_option_string_t found;
  wasi_config_store_error_t error;
  if (!wasi_config_store_get(&key, &found, &error)) {
    wasi_config_store_error_free(&error);
    return false;
  }
  if (found.is_some) *topic = found.val;
  return found.is_some;
}

static void in_capitals(upper_list_u8_t *text) {
  for (size_t at = 0; at < text->len; at++) {
    if (text->ptr[at] >= 'a' && text->ptr[at] <= 'z') text->ptr[at] -= 'a' - 'A';
  }
}

// A handler owns its delivery, and changes the message in it into the one that it publishes.
bool exports_edgewit_pubsub_handler_on_message(delivery_t *delivery, failure_t *failure) {
  upper_string_t topic;
  if (!configured_topic(&topic)) {
    exports_edgewit_pubsub_handler_delivery_free(delivery);
    return reject(failure, "config `to` is missing: add `to = \"...\"` under [component.NAME.config]");
  }
  upper_string_free(&delivery->message.topic);
  delivery->message.topic = topic;
  in_capitals(&delivery->message.payload);
  edgewit_pubsub_publisher_publish_error_t refusal;
  bool published = edgewit_pubsub_publisher_publish(&delivery->message, &refusal);
  exports_edgewit_pubsub_handler_delivery_free(delivery);
  if (published) return true;
  edgewit_pubsub_publisher_publish_error_free(&refusal);
  return reject(failure, "publish refused");
}
