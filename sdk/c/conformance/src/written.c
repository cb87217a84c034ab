// A value of every kind, from text and back.

#include "written.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "yyjson/yyjson.h"

#define V(TAG) EVENTFABRIC_PROJECTION_SQL_VALUE_##TAG

// A column of `written`, and the kind of its values.
typedef struct {
    const char *name;
    uint8_t tag;
} column;

static const column columns[] = {
    {"bool", V(BOOLEAN)},
    {"int16", V(INT16)},
    {"int32", V(INT32)},
    {"int64", V(INT64)},
    {"float32", V(FLOAT32)},
    {"float64", V(FLOAT64)},
    {"numeric", V(NUMERIC)},
    {"text", V(TEXT)},
    {"bytes", V(BYTES)},
    {"uuid", V(UUID)},
    {"timestamptz", V(TIMESTAMPTZ)},
    {"date", V(DATE)},
    {"json", V(JSON)},
    {"mood", V(OTHER)},
    {"span", V(OTHER)},
    {"bool_array", V(BOOL_ARRAY)},
    {"int16_array", V(INT16_ARRAY)},
    {"int32_array", V(INT32_ARRAY)},
    {"int64_array", V(INT64_ARRAY)},
    {"float32_array", V(FLOAT32_ARRAY)},
    {"float64_array", V(FLOAT64_ARRAY)},
    {"numeric_array", V(NUMERIC_ARRAY)},
    {"text_array", V(TEXT_ARRAY)},
    {"bytes_array", V(BYTES_ARRAY)},
    {"uuid_array", V(UUID_ARRAY)},
    {"timestamptz_array", V(TIMESTAMPTZ_ARRAY)},
    {"date_array", V(DATE_ARRAY)},
    {"json_array", V(JSON_ARRAY)},
};

enum { COLUMNS = sizeof columns / sizeof *columns };

// ---- From text ----

static ef_bytes from_hex(ef_str hex) {
    ef_bytes bytes = {ef_alloc(hex.len / 2), hex.len / 2};
    for (size_t i = 0; i < bytes.len; i++) {
        char digits[3] = {(char)hex.ptr[2 * i], (char)hex.ptr[2 * i + 1], 0};
        bytes.ptr[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return bytes;
}

static int64_t integer(ef_str text) { return strtoll((const char *)text.ptr, NULL, 10); }
static double number(ef_str text) { return strtod((const char *)text.ptr, NULL); }
static float single(ef_str text) { return strtof((const char *)text.ptr, NULL); }

static ef_value parse(column column, ef_str text) {
    switch (column.tag) {
    case V(BOOLEAN): return ef_bool(ef_str_equals(text, "true"));
    case V(INT16): return ef_int16((int16_t)integer(text));
    case V(INT32): return ef_int32((int32_t)integer(text));
    case V(INT64): return ef_int64(integer(text));
    case V(FLOAT32): return ef_float32(single(text));
    case V(FLOAT64): return ef_float64(number(text));
    case V(NUMERIC): return ef_numeric(text);
    case V(TEXT): return ef_text(text);
    case V(BYTES): return ef_bytea(from_hex(text));
    case V(UUID): return ef_uuid(text);
    case V(TIMESTAMPTZ): return ef_timestamptz(integer(text));
    case V(DATE): return ef_date((int32_t)integer(text));
    case V(JSON): return ef_json(text);
    default: return ef_other(strcmp(column.name, "mood") == 0 ? "mood" : "interval", text);
    }
}

static bool next_text(yyjson_val *list, size_t i, ef_str *text) {
    yyjson_val *item = yyjson_arr_get(list, i);
    *text = (ef_str){(uint8_t *)yyjson_get_str(item), yyjson_get_len(item)};
    return yyjson_is_str(item);
}

#define PARSE_ARRAY(type, array, convert)                                                                            \
    {                                                                                                                \
        type *items = ef_alloc(count * sizeof(type));                                                                \
        for (size_t i = 0; i < count; i++) {                                                                         \
            items[i].is_some = next_text(list, i, &text);                                                            \
            if (items[i].is_some) items[i].val = convert;                                                            \
        }                                                                                                            \
        return array(items, count);                                                                                  \
    }

static ef_value parse_array(uint8_t tag, yyjson_val *list) {
    size_t count = yyjson_arr_size(list);
    ef_str text;
    switch (tag) {
    case V(BOOL_ARRAY): PARSE_ARRAY(ef_opt_bool, ef_bool_array, ef_str_equals(text, "true"))
    case V(INT16_ARRAY): PARSE_ARRAY(ef_opt_int16, ef_int16_array, (int16_t)integer(text))
    case V(INT32_ARRAY): PARSE_ARRAY(ef_opt_int32, ef_int32_array, (int32_t)integer(text))
    case V(INT64_ARRAY): PARSE_ARRAY(ef_opt_int64, ef_int64_array, integer(text))
    case V(FLOAT32_ARRAY): PARSE_ARRAY(ef_opt_float32, ef_float32_array, single(text))
    case V(FLOAT64_ARRAY): PARSE_ARRAY(ef_opt_float64, ef_float64_array, number(text))
    case V(NUMERIC_ARRAY): PARSE_ARRAY(ef_opt_str, ef_numeric_array, text)
    case V(TEXT_ARRAY): PARSE_ARRAY(ef_opt_str, ef_text_array, text)
    case V(BYTES_ARRAY): PARSE_ARRAY(ef_opt_bytes, ef_bytea_array, from_hex(text))
    case V(UUID_ARRAY): PARSE_ARRAY(ef_opt_str, ef_uuid_array, text)
    case V(TIMESTAMPTZ_ARRAY): PARSE_ARRAY(ef_opt_int64, ef_timestamptz_array, integer(text))
    case V(DATE_ARRAY): PARSE_ARRAY(ef_opt_int32, ef_date_array, (int32_t)integer(text))
    default: PARSE_ARRAY(ef_opt_str, ef_json_array, text)
    }
}

// ---- And back ----

static yyjson_mut_val *text_of(yyjson_mut_doc *doc, ef_str text) {
    return yyjson_mut_strncpy(doc, (const char *)text.ptr, text.len);
}

static ef_str to_hex(ef_bytes bytes) {
    ef_str hex = {ef_alloc(bytes.len * 2 + 1), bytes.len * 2};
    for (size_t i = 0; i < bytes.len; i++) sprintf((char *)hex.ptr + 2 * i, "%02x", bytes.ptr[i]);
    return hex;
}

static ef_str from_integer(int64_t value) { return ef_format("%lld", (long long)value); }

#define SHOW_ARRAY(array, convert)                                                                                   \
    for (size_t i = 0; i < value->val.array.len; i++) {                                                              \
        __typeof__(value->val.array.ptr[i].val) item = value->val.array.ptr[i].val;                                  \
        yyjson_mut_arr_append(list, value->val.array.ptr[i].is_some ? text_of(doc, convert) : yyjson_mut_null(doc)); \
    }                                                                                                                \
    return list;

// The text of a value; NULL for floats and JSON.
static yyjson_mut_val *show(yyjson_mut_doc *doc, const ef_value *value) {
    yyjson_mut_val *list = yyjson_mut_arr(doc);
    switch (value->tag) {
    case V(BOOLEAN): return yyjson_mut_str(doc, value->val.boolean ? "true" : "false");
    case V(INT16): return text_of(doc, from_integer(value->val.int16));
    case V(INT32): return text_of(doc, from_integer(value->val.int32));
    case V(INT64): return text_of(doc, from_integer(value->val.int64));
    case V(NUMERIC): return text_of(doc, value->val.numeric);
    case V(TEXT): return text_of(doc, value->val.text);
    case V(BYTES): return text_of(doc, to_hex(value->val.bytes));
    case V(UUID): return text_of(doc, value->val.uuid);
    case V(TIMESTAMPTZ): return text_of(doc, from_integer(value->val.timestamptz));
    case V(DATE): return text_of(doc, from_integer(value->val.date));
    case V(OTHER): return text_of(doc, value->val.other.f1);
    case V(BOOL_ARRAY): SHOW_ARRAY(bool_array, ef_str_of(item ? "true" : "false"))
    case V(INT16_ARRAY): SHOW_ARRAY(int16_array, from_integer(item))
    case V(INT32_ARRAY): SHOW_ARRAY(int32_array, from_integer(item))
    case V(INT64_ARRAY): SHOW_ARRAY(int64_array, from_integer(item))
    case V(NUMERIC_ARRAY): SHOW_ARRAY(numeric_array, item)
    case V(TEXT_ARRAY): SHOW_ARRAY(text_array, item)
    case V(BYTES_ARRAY): SHOW_ARRAY(bytes_array, to_hex(item))
    case V(UUID_ARRAY): SHOW_ARRAY(uuid_array, item)
    case V(TIMESTAMPTZ_ARRAY): SHOW_ARRAY(timestamptz_array, from_integer(item))
    case V(DATE_ARRAY): SHOW_ARRAY(date_array, from_integer(item))
    default: return NULL;
    }
}

// ---- The event ----

static const char *insert_into(const char *table) {
    ef_str names = ef_str_of("name"), places = ef_str_of("$1");
    for (int i = 0; i < COLUMNS; i++) {
        names = ef_format("%.*s, %s", EF_STR(names), columns[i].name);
        places = ef_format("%.*s, $%d", EF_STR(places), i + 2);
    }
    return (const char *)ef_format("INSERT INTO %s (%.*s) VALUES (%.*s)", table, EF_STR(names), EF_STR(places)).ptr;
}

void written(ef_tx *tx, const ef_event *event) {
    ef_str name = ef_event_text(event, "name");
    yyjson_val *values = yyjson_obj_get(ef_event_root(event), "values");
    ef_value params[COLUMNS + 1] = {ef_text(name)};
    for (int i = 0; i < COLUMNS; i++) {
        yyjson_val *value = yyjson_obj_get(values, columns[i].name);
        ef_str text = {(uint8_t *)yyjson_get_str(value), yyjson_get_len(value)};
        params[i + 1] = !value ? ef_null() : yyjson_is_arr(value) ? parse_array(columns[i].tag, value) : parse(columns[i], text);
    }
    ef_run_values(tx, insert_into("written"), params, COLUMNS + 1);
    ef_rows *rows = ef_query_one(tx, "SELECT * FROM written WHERE name = $1", ef_text(name));
    if (!rows) return;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *shown = yyjson_mut_obj(doc);
    for (int i = 0; i < COLUMNS; i++) {
        const ef_value *value = ef_row_value(rows, 0, columns[i].name);
        if (!value) return;
        if (value->tag != V(NULL) && value->tag != columns[i].tag) {
            ef_fatal(tx, "column %s is of the kind %d, not %d", columns[i].name, value->tag, columns[i].tag);
            return;
        }
        params[i + 1] = *value;
        yyjson_mut_val *text = value->tag == V(NULL) ? NULL : show(doc, value);
        if (text) yyjson_mut_obj_add(shown, yyjson_mut_str(doc, columns[i].name), text);
    }
    ef_run_values(tx, insert_into("echoed"), params, COLUMNS + 1);
    char *text = yyjson_mut_val_write(shown, 0, NULL);
    ef_run(tx, "INSERT INTO shown (name, shown) VALUES ($1, $2)", ef_text(name), ef_json(ef_str_of(text)));
    free(text);
    yyjson_mut_doc_free(doc);
}
