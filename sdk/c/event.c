// Payloads: reading them, and lifting those of older schema versions.

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tx.h"
#include "event.h"
#include "yyjson/yyjson.h"

// yyjson takes its memory from the batch.
static void *json_malloc(void *context, size_t size) {
    (void)context;
    return ef_alloc(size);
}
static void *json_realloc(void *context, void *memory, size_t old_size, size_t size) {
    (void)context;
    return ef_grown(memory, old_size, size);
}
static void json_free(void *context, void *memory) {
    (void)context;
    (void)memory;
}
static const yyjson_alc ALLOCATOR = {json_malloc, json_realloc, json_free, NULL};

static void unreadable(const ef_event *event, ef_str why) {
    ef_str message = ef_format("the payload of %.*s version %u at position %llu (stream %.*s/%.*s) can't be read: %.*s",
                               EF_STR(event->event_type), (unsigned)event->schema_version,
                               (unsigned long long)event->position, EF_STR(event->aggregate),
                               EF_STR(event->aggregate_id), EF_STR(why));
    ef_fail(event->tx, POISON, event->index, message);
}

yyjson_val *ef_event_root(const ef_event *event) {
    if (event->root) return event->root;
    yyjson_read_err error;
    yyjson_doc *doc = yyjson_read_opts((char *)event->payload.ptr, event->payload.len, YYJSON_READ_NUMBER_AS_RAW,
                                       &ALLOCATOR, &error);
    if (!doc) {
        unreadable(event, ef_format("%s at byte %zu", error.msg, error.pos));
        return NULL;
    }
    return ((ef_event *)event)->root = yyjson_doc_get_root(doc);
}

// The value at the end of a way such as "items.0.price"; NULL where there is none.
static yyjson_val *look_up(const ef_event *event, const char *field) {
    yyjson_val *value = ef_event_root(event);
    while (value && field) {
        const char *dot = strchr(field, '.');
        size_t length = dot ? (size_t)(dot - field) : strlen(field);
        if (yyjson_is_arr(value)) {
            char *end;
            unsigned long index = strtoul(field, &end, 10);
            value = end == field + length ? yyjson_arr_get(value, index) : NULL;
        } else {
            value = yyjson_obj_getn(value, field, length);
        }
        field = dot ? dot + 1 : NULL;
    }
    return value;
}

static void misfit(const ef_event *event, const char *field, const char *expected, yyjson_val *found) {
    size_t length = 0;
    char *text = yyjson_val_write_opts(found, 0, &ALLOCATOR, &length, NULL);
    bool cut = length > 40;
    unreadable(event, ef_format("field `%s`: expected %s, found %.*s%s", field, expected, cut ? 37 : (int)length,
                                text ? text : "", cut ? "…" : ""));
}

static yyjson_val *required(const ef_event *event, const char *field) {
    yyjson_val *value = look_up(event, field);
    if (!value) unreadable(event, ef_format("missing field `%s`", field)); // or what came before
    return value;
}

static ef_str text_of(yyjson_val *value) {
    ef_str text = {(uint8_t *)yyjson_get_str(value), yyjson_get_len(value)};
    return text;
}

static const ef_str NONE = {(uint8_t *)"", 0};

ef_str ef_event_text(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    if (!value) return NONE;
    if (yyjson_is_str(value)) return text_of(value);
    misfit(event, field, "a text", value);
    return NONE;
}

ef_str ef_event_optional_text(const ef_event *event, const char *field) {
    ef_str none = {NULL, 0};
    return ef_event_has(event, field) ? ef_event_text(event, field) : none;
}

bool ef_event_has(const ef_event *event, const char *field) {
    yyjson_val *value = look_up(event, field);
    return value && !yyjson_is_null(value);
}

// An integer of 64 bits, as it is written; the whole text has to be one.
static bool parse_int64(const char *raw, int64_t *number) {
    char *end;
    errno = 0;
    *number = strtoll(raw, &end, 10);
    return errno == 0 && (*end < '0' || *end > '9') && *end != '.' && *end != 'e' && *end != 'E';
}

int64_t ef_event_int64(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    int64_t number = 0;
    if (!value) return 0;
    if (yyjson_is_raw(value) && parse_int64(yyjson_get_raw(value), &number)) return number;
    misfit(event, field, "an integer of 64 bits", value);
    return 0;
}

double ef_event_float64(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    if (!value) return 0;
    if (yyjson_is_raw(value)) return strtod(yyjson_get_raw(value), NULL);
    misfit(event, field, "a number", value);
    return 0;
}

bool ef_event_bool(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    if (!value) return false;
    if (yyjson_is_bool(value)) return yyjson_get_bool(value);
    misfit(event, field, "true or false", value);
    return false;
}

ef_str ef_event_numeric(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    if (!value) return NONE;
    if (yyjson_is_str(value)) return text_of(value);
    if (yyjson_is_raw(value)) {
        ef_str text = {(uint8_t *)yyjson_get_raw(value), yyjson_get_len(value)};
        return text;
    }
    misfit(event, field, "a number", value);
    return NONE;
}

ef_str ef_event_json(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    if (!value) return NONE;
    ef_str text;
    text.ptr = (uint8_t *)yyjson_val_write_opts(value, 0, &ALLOCATOR, &text.len, NULL);
    return text;
}

size_t ef_event_count(const ef_event *event, const char *field) {
    yyjson_val *value = required(event, field);
    if (!value) return 0;
    if (yyjson_is_arr(value)) return yyjson_arr_size(value);
    misfit(event, field, "a list", value);
    return 0;
}

// ---- JSON that is written ----

static yyjson_mut_val *json_of(ef_tx *tx, yyjson_mut_doc *doc, ef_column column) {
    const ef_value value = column.value;
    const ef_str text = value.val.text;
    int64_t number;
    if (ef_integer(value, &number)) return yyjson_mut_sint(doc, number);
    switch (value.tag) {
    case V(NULL):
        return yyjson_mut_null(doc);
    case V(BOOLEAN):
        return yyjson_mut_bool(doc, value.val.boolean);
    case V(FLOAT32):
        return yyjson_mut_real(doc, value.val.float32);
    case V(FLOAT64):
        return yyjson_mut_real(doc, value.val.float64);
    case V(TEXT):
    case V(UUID):
    case V(NUMERIC): // as text, so that nobody rounds it
        return yyjson_mut_strn(doc, (const char *)text.ptr, text.len);
    case V(JSON):
        return yyjson_mut_rawn(doc, (const char *)text.ptr, text.len);
    }
    ef_fatal(tx, "field `%s`: no JSON is made of such a value: give it as a text", column.name);
    return yyjson_mut_null(doc);
}

ef_str ef_object_values(ef_tx *tx, const ef_column *fields, size_t count) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(&ALLOCATOR);
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    for (size_t i = 0; i < count; i++) {
        yyjson_mut_obj_add(object, yyjson_mut_str(doc, fields[i].name), json_of(tx, doc, fields[i]));
    }
    yyjson_write_err error;
    ef_str json = {NULL, 0};
    json.ptr = (uint8_t *)yyjson_mut_val_write_opts(object, 0, &ALLOCATOR, &json.len, &error);
    if (!json.ptr) ef_fatal(tx, "no JSON can be made of the values: %s", error.msg);
    return json;
}

struct yyjson_val *ef_json_read(ef_str text, const char **why) {
    yyjson_read_err error;
    yyjson_doc *doc = yyjson_read_opts((char *)text.ptr, text.len, YYJSON_READ_NUMBER_AS_RAW, &ALLOCATOR, &error);
    if (!doc) *why = error.msg;
    return doc ? yyjson_doc_get_root(doc) : NULL;
}

// ---- Upcasters ----

static const ef_upcaster *step_from(const ef_upcaster *steps, ef_str event_type, uint32_t version) {
    for (; steps->event_type; steps++) {
        if (steps->from == version && ef_str_equals(event_type, steps->event_type)) return steps;
    }
    return NULL;
}

static void cannot_lift(ef_event *event, ef_str why) {
    ef_fail(event->tx, POISON, event->index,
            ef_format("%.*s version %u at position %llu (stream %.*s/%.*s): %.*s", EF_STR(event->event_type),
                      (unsigned)event->schema_version, (unsigned long long)event->position, EF_STR(event->aggregate),
                      EF_STR(event->aggregate_id), EF_STR(why)));
}

void ef_event_lift(ef_event *event, const ef_upcaster *steps) {
    uint32_t newest = 0;
    for (const ef_upcaster *step = steps; step && step->event_type; step++) {
        if (ef_str_equals(event->event_type, step->event_type) && step->from >= newest) newest = step->from + 1;
    }
    if (newest == 0 || event->schema_version == newest) return;
    if (event->schema_version > newest) {
        cannot_lift(event, ef_format("the schema version is newer than this plugin, which knows it up to %u: deploy a "
                                     "newer plugin", (unsigned)newest));
        return;
    }
    yyjson_val *root = ef_event_root(event);
    if (!root) return;
    ef_payload payload = {yyjson_mut_doc_new(&ALLOCATOR), NULL, event->tx};
    payload.root = yyjson_val_mut_copy(payload.doc, root);
    for (uint32_t version = event->schema_version; version < newest; version++) {
        const ef_upcaster *step = step_from(steps, event->event_type, version);
        if (!step) {
            cannot_lift(event, ef_format("nothing lifts schema version %u to %u", (unsigned)version, (unsigned)version + 1));
            return;
        }
        step->lift(&payload);
        if (ef_failed(event->tx)) {
            event->tx->message = ef_format("the upcaster of %.*s from schema version %u: %.*s", EF_STR(event->event_type),
                                           (unsigned)version, EF_STR(event->tx->message));
            return;
        }
        ef_payload_set_int64(&payload, "version", (int64_t)version + 1);
    }
    event->payload.ptr = (uint8_t *)yyjson_mut_val_write_opts(payload.root, 0, &ALLOCATOR, &event->payload.len, NULL);
    event->schema_version = newest;
    event->root = NULL;
}

int64_t ef_payload_int64(ef_payload *payload, const char *field) {
    yyjson_mut_val *value = yyjson_mut_obj_get(payload->root, field);
    int64_t number = 0;
    if (value && yyjson_mut_is_int(value)) return yyjson_mut_get_sint(value);
    if (value && yyjson_mut_is_raw(value) && parse_int64(yyjson_mut_get_raw(value), &number)) return number;
    ef_poison(payload->tx, value ? "field `%s` is no integer of 64 bits" : "missing field `%s`", field);
    return 0;
}

ef_str ef_payload_text(ef_payload *payload, const char *field) {
    yyjson_mut_val *value = yyjson_mut_obj_get(payload->root, field);
    if (value && yyjson_mut_is_str(value)) {
        ef_str text = {(uint8_t *)yyjson_mut_get_str(value), yyjson_mut_get_len(value)};
        return text;
    }
    ef_poison(payload->tx, value ? "field `%s` is no text" : "missing field `%s`", field);
    return NONE;
}

static void put(ef_payload *payload, const char *field, yyjson_mut_val *value) {
    yyjson_mut_obj_put(payload->root, yyjson_mut_strcpy(payload->doc, field), value);
}

void ef_payload_set_int64(ef_payload *payload, const char *field, int64_t value) {
    put(payload, field, yyjson_mut_sint(payload->doc, value));
}

void ef_payload_set_text(ef_payload *payload, const char *field, ef_str value) {
    put(payload, field, yyjson_mut_strncpy(payload->doc, (const char *)value.ptr, value.len));
}

void ef_payload_remove(ef_payload *payload, const char *field) { yyjson_mut_obj_remove_key(payload->root, field); }
