// The open transaction: a queue of writes, reads, and the first failure.

#include <stdio.h>

#include "tx.h"

// The queue is sent when it holds so many calls, or so many bytes of parameters.
enum { MAX_CALLS = 1000, MAX_BYTES = 1 << 20 };

void ef_fail(ef_tx *tx, uint8_t kind, int64_t event, ef_str message) {
    if (tx->failed) return;
    tx->failed = true;
    tx->kind = kind;
    tx->failed_event = event;
    tx->message = message;
}

#define FAILURE(name, KIND)                                                                                          \
    void name(ef_tx *tx, const char *format, ...) {                                                                  \
        va_list arguments;                                                                                           \
        va_start(arguments, format);                                                                                 \
        ef_fail(tx, KIND, tx->event, ef_vformat(format, arguments));                                                 \
        va_end(arguments);                                                                                           \
    }
FAILURE(ef_retry, RETRY)
FAILURE(ef_poison, POISON)
FAILURE(ef_fatal, FATAL)

bool ef_failed(const ef_tx *tx) { return tx->failed; }

void ef_blame(ef_tx *tx, const ef_event *event) { tx->event = event ? (int64_t)event->index : NO_EVENT; }

// ---- Errors of SQL ----

static uint8_t kind_of(ef_sql_error error) {
    switch (error.kind) {
    case EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_RETRYABLE:
    case EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_CONNECTION:
        return RETRY;
    case EVENTFABRIC_PROJECTION_SQL_SQL_ERROR_KIND_CONSTRAINT:
        return POISON;
    default:
        return FATAL;
    }
}

// The text from a character on, counted from 1, and at most 40 characters of it.
static ef_str excerpt(ef_str text, uint32_t from) {
    size_t start = 0, end, characters = 0;
    while (start < text.len && (characters += (text.ptr[start] & 0xC0) != 0x80) < from) start++;
    for (end = start, characters = 0; end < text.len; end++) {
        characters += (text.ptr[end] & 0xC0) != 0x80;
        if (characters > 40) break;
    }
    ef_str part = {text.ptr + start, end - start};
    return part;
}

static void fail_sql(ef_tx *tx, ef_sql_error error, ef_str statement) {
    ef_str text = error.message;
    if (error.sqlstate.len) text = ef_format("%.*s (SQLSTATE %.*s)", EF_STR(text), EF_STR(error.sqlstate));
    if (error.detail.is_some) text = ef_format("%.*s\ndetail: %.*s", EF_STR(text), EF_STR(error.detail.val));
    if (error.hint.is_some) text = ef_format("%.*s\nhint: %.*s", EF_STR(text), EF_STR(error.hint.val));
    if (statement.len) text = ef_format("%.*s\nstatement: %.*s", EF_STR(text), EF_STR(statement));
    if (error.position.is_some) {
        ef_str place = excerpt(statement, error.position.val);
        text = ef_format("%.*s\nat character %u: %.*s", EF_STR(text), (unsigned)error.position.val, EF_STR(place));
    }
    ef_fail(tx, kind_of(error), tx->event, text);
}

// ---- The queue ----

static ef_str copy_text(ef_str text) {
    ef_str copy = {ef_alloc(text.len + 1), text.len};
    memcpy(copy.ptr, text.ptr, text.len);
    return copy;
}

static void *copy_items(const void *items, size_t size) {
    void *copy = ef_alloc(size);
    if (size) memcpy(copy, items, size);
    return copy;
}

ef_value ef_copy(ef_value value) {
    switch (value.tag) {
    case V(NUMERIC):
    case V(TEXT):
    case V(UUID):
    case V(JSON):
        value.val.text = copy_text(value.val.text);
        break;
    case V(BYTES):
        value.val.bytes.ptr = copy_items(value.val.bytes.ptr, value.val.bytes.len);
        break;
    case V(OTHER):
        value.val.other.f0 = copy_text(value.val.other.f0);
        value.val.other.f1 = copy_text(value.val.other.f1);
        break;
    case V(BOOL_ARRAY):
        value.val.bool_array.ptr = copy_items(value.val.bool_array.ptr, value.val.bool_array.len * sizeof(ef_opt_bool));
        break;
    case V(INT16_ARRAY):
        value.val.int16_array.ptr = copy_items(value.val.int16_array.ptr, value.val.int16_array.len * sizeof(ef_opt_int16));
        break;
    case V(INT32_ARRAY):
    case V(DATE_ARRAY):
        value.val.int32_array.ptr = copy_items(value.val.int32_array.ptr, value.val.int32_array.len * sizeof(ef_opt_int32));
        break;
    case V(INT64_ARRAY):
    case V(TIMESTAMPTZ_ARRAY):
        value.val.int64_array.ptr = copy_items(value.val.int64_array.ptr, value.val.int64_array.len * sizeof(ef_opt_int64));
        break;
    case V(FLOAT32_ARRAY):
        value.val.float32_array.ptr = copy_items(value.val.float32_array.ptr, value.val.float32_array.len * sizeof(ef_opt_float32));
        break;
    case V(FLOAT64_ARRAY):
        value.val.float64_array.ptr = copy_items(value.val.float64_array.ptr, value.val.float64_array.len * sizeof(ef_opt_float64));
        break;
    case V(NUMERIC_ARRAY):
    case V(TEXT_ARRAY):
    case V(UUID_ARRAY):
    case V(JSON_ARRAY):
        value.val.text_array.ptr = copy_items(value.val.text_array.ptr, value.val.text_array.len * sizeof(ef_opt_str));
        for (size_t i = 0; i < value.val.text_array.len; i++) {
            ef_opt_str *item = &value.val.text_array.ptr[i];
            if (item->is_some) item->val = copy_text(item->val);
        }
        break;
    case V(BYTES_ARRAY):
        value.val.bytes_array.ptr = copy_items(value.val.bytes_array.ptr, value.val.bytes_array.len * sizeof(ef_opt_bytes));
        for (size_t i = 0; i < value.val.bytes_array.len; i++) {
            ef_opt_bytes *item = &value.val.bytes_array.ptr[i];
            if (item->is_some) item->val.ptr = copy_items(item->val.ptr, item->val.len);
        }
        break;
    }
    return value;
}

// About how many bytes a value holds outside of itself.
static size_t heap_bytes(ef_value value) {
    switch (value.tag) {
    case V(NUMERIC):
    case V(TEXT):
    case V(UUID):
    case V(JSON):
    case V(BYTES):
        return value.val.text.len;
    case V(OTHER):
        return value.val.other.f1.len;
    case V(NUMERIC_ARRAY):
    case V(TEXT_ARRAY):
    case V(UUID_ARRAY):
    case V(JSON_ARRAY):
    case V(BYTES_ARRAY): {
        size_t sum = 0;
        for (size_t i = 0; i < value.val.text_array.len; i++) {
            sum += sizeof(ef_opt_str);
            if (value.val.text_array.ptr[i].is_some) sum += value.val.text_array.ptr[i].val.len;
        }
        return sum;
    }
    case V(BOOL_ARRAY):
    case V(INT16_ARRAY):
    case V(INT32_ARRAY):
    case V(INT64_ARRAY):
    case V(FLOAT32_ARRAY):
    case V(FLOAT64_ARRAY):
    case V(TIMESTAMPTZ_ARRAY):
    case V(DATE_ARRAY):
        return value.val.int64_array.len * sizeof(ef_opt_int64);
    default:
        return 0;
    }
}

static void send(ef_tx *tx) {
    if (tx->failed || tx->call_count == 0) return;
    projection_list_string_t statements = {tx->statements, tx->statement_count};
    ef_calls calls = {tx->calls, tx->call_count};
    ef_batch_error error;
    tx->statement_count = tx->call_count = tx->bytes = 0;
    if (tx->backend->execute_batch(tx->backend->self, statements, calls, &error)) return;
    ef_str statement = {NULL, 0};
    if (error.call < calls.len) {
        tx->event = tx->events[error.call];
        statement = tx->statements[tx->calls[error.call].statement];
    }
    fail_sql(tx, error.error, statement);
}

// The place of a statement's text among those that are queued.
static uint32_t statement_index(ef_tx *tx, const char *statement) {
    for (size_t i = tx->statement_count; i-- > 0;) {
        if (ef_str_equals(tx->statements[i], statement)) return (uint32_t)i;
    }
    if (tx->statement_count == tx->statement_room) {
        size_t room = tx->statement_room ? tx->statement_room * 2 : 8;
        tx->statements = ef_grown(tx->statements, tx->statement_room * sizeof(ef_str), room * sizeof(ef_str));
        tx->statement_room = room;
    }
    tx->statements[tx->statement_count] = copy_text(ef_str_of(statement));
    return (uint32_t)tx->statement_count++;
}

void ef_queue(ef_tx *tx, const char *statement, const ef_value *params, size_t count, int64_t event) {
    if (tx->failed) return;
    if (tx->call_count == tx->call_room) {
        size_t old = tx->call_room, room = old ? old * 2 : 64;
        tx->calls = ef_grown(tx->calls, old * sizeof(*tx->calls), room * sizeof(*tx->calls));
        tx->events = ef_grown(tx->events, old * sizeof(*tx->events), room * sizeof(*tx->events));
        tx->call_room = room;
    }
    eventfabric_projection_sql_call_t *call = &tx->calls[tx->call_count];
    call->statement = statement_index(tx, statement);
    call->params.ptr = ef_alloc(count * sizeof(ef_value));
    call->params.len = count;
    for (size_t i = 0; i < count; i++) {
        call->params.ptr[i] = ef_copy(params[i]);
        tx->bytes += heap_bytes(params[i]);
    }
    tx->events[tx->call_count++] = event;
    if (tx->call_count >= MAX_CALLS || tx->bytes >= MAX_BYTES) send(tx);
}

void ef_run_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count) {
    ef_write_tables(tx, statement);
    ef_queue(tx, statement, params, count, tx->event);
}

void ef_flush(ef_tx *tx) {
    ef_write_tables(tx, NULL);
    send(tx);
}

bool ef_end(ef_tx *tx, projection_failure_t *failure) {
    ef_flush(tx);
    if (!tx->failed) return true;
    failure->kind = tx->kind;
    failure->message = tx->message;
    failure->index.is_some = tx->failed_event != NO_EVENT;
    failure->index.val = (uint32_t)tx->failed_event;
    return false;
}

// ---- At once ----

uint64_t ef_execute_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count) {
    ef_flush(tx);
    if (tx->failed) return 0;
    ef_sql_error error;
    uint64_t rows;
    ef_values values = {(ef_value *)params, count};
    if (tx->backend->execute(tx->backend->self, ef_str_of(statement), values, &rows, &error)) return rows;
    fail_sql(tx, error, ef_str_of(statement));
    return 0;
}

ef_rows *ef_query_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count) {
    ef_flush(tx);
    if (tx->failed) return NULL;
    ef_sql_error error;
    ef_values values = {(ef_value *)params, count};
    ef_rows *rows = ef_alloc(sizeof(ef_rows));
    if (!tx->backend->query(tx->backend->self, ef_str_of(statement), values, &rows->set, &error)) {
        fail_sql(tx, error, ef_str_of(statement));
        return NULL;
    }
    rows->count = rows->set.rows.len;
    rows->statement = (const char *)ef_format("%s", statement).ptr;
    rows->tx = tx;
    return rows;
}

ef_rows *ef_query_one_values(ef_tx *tx, const char *statement, const ef_value *params, size_t count) {
    ef_rows *rows = ef_query_values(tx, statement, params, count);
    if (!rows || rows->count == 1) return rows;
    if (rows->count == 0) {
        ef_fatal(tx, "no row where one is expected: %s", statement);
    } else {
        ef_fatal(tx, "%zu rows where one is expected: %s", rows->count, statement);
    }
    return NULL;
}

// ---- Rows ----

static const char *const KINDS[] = {
    "NULL",     "boolean",   "smallint", "integer",  "bigint",   "real",   "double precision",
    "numeric",  "text",      "bytea",    "uuid",     "timestamptz", "date", "json",
    "boolean[]", "smallint[]", "integer[]", "bigint[]", "real[]", "double precision[]", "numeric[]",
    "text[]",   "bytea[]",   "uuid[]",   "timestamptz[]", "date[]", "json[]", "a value of another type",
};

const ef_value *ef_row_value(const ef_rows *rows, size_t row, const char *column) {
    if (!rows) return NULL;
    if (row >= rows->count) {
        ef_fatal(rows->tx, "there is no row %zu, but %zu: %s", row, rows->count, rows->statement);
        return NULL;
    }
    for (size_t i = 0; i < rows->set.columns.len; i++) {
        if (ef_str_equals(rows->set.columns.ptr[i], column)) return &rows->set.rows.ptr[row].ptr[i];
    }
    ef_fatal(rows->tx, "there is no column `%s`: %s", column, rows->statement);
    return NULL;
}

ef_rows *ef_rows_new(ef_tx *tx, const char *const *columns, size_t count) {
    ef_rows *rows = ef_alloc(sizeof(ef_rows));
    memset(rows, 0, sizeof *rows);
    rows->statement = "rows of the plugin";
    rows->tx = tx;
    rows->set.columns.len = count;
    rows->set.columns.ptr = ef_alloc(count * sizeof(ef_str));
    for (size_t i = 0; i < count; i++) rows->set.columns.ptr[i] = copy_text(ef_str_of(columns[i]));
    return rows;
}

void ef_rows_add_values(ef_rows *rows, const ef_value *values, size_t count) {
    if (count != rows->set.columns.len) {
        ef_fatal(rows->tx, "row %zu has %zu values for %zu columns", rows->count, count, rows->set.columns.len);
        return;
    }
    if ((rows->count & (rows->count - 1)) == 0) { // the room is the next power of two
        size_t room = rows->count ? rows->count * 2 : 1;
        rows->set.rows.ptr = ef_grown(rows->set.rows.ptr, rows->count * sizeof(ef_values), room * sizeof(ef_values));
    }
    ef_values *row = &rows->set.rows.ptr[rows->count++];
    row->len = count;
    row->ptr = ef_alloc(count * sizeof(ef_value));
    for (size_t i = 0; i < count; i++) row->ptr[i] = ef_copy(values[i]);
    rows->set.rows.len = rows->count;
}

bool ef_row_is_null(const ef_rows *rows, size_t row, const char *column) {
    const ef_value *value = ef_row_value(rows, row, column);
    return !value || value->tag == V(NULL);
}

static void misfit(const ef_rows *rows, const char *column, ef_value value, const char *wanted) {
    ef_fatal(rows->tx, "column `%s` is %s, which is no %s: %s", column, KINDS[value.tag], wanted, rows->statement);
}

bool ef_integer(ef_value value, int64_t *number) {
    switch (value.tag) {
    case V(INT16): *number = value.val.int16; return true;
    case V(INT32): *number = value.val.int32; return true;
    case V(INT64): *number = value.val.int64; return true;
    default: return false;
    }
}

int64_t ef_row_int64(const ef_rows *rows, size_t row, const char *column) {
    const ef_value *value = ef_row_value(rows, row, column);
    int64_t number = 0;
    if (value && !ef_integer(*value, &number)) misfit(rows, column, *value, "integer");
    return number;
}

double ef_row_float64(const ef_rows *rows, size_t row, const char *column) {
    const ef_value *value = ef_row_value(rows, row, column);
    if (!value) return 0;
    if (value->tag == V(FLOAT64)) return value->val.float64;
    if (value->tag == V(FLOAT32)) return value->val.float32;
    misfit(rows, column, *value, "float");
    return 0;
}

ef_str ef_row_text(const ef_rows *rows, size_t row, const char *column) {
    const ef_value *value = ef_row_value(rows, row, column);
    ef_str none = {(uint8_t *)"", 0};
    if (!value) return none;
    switch (value->tag) {
    case V(TEXT):
    case V(NUMERIC):
    case V(UUID):
    case V(JSON):
        return value->val.text;
    case V(OTHER):
        return value->val.other.f1;
    }
    misfit(rows, column, *value, "text");
    return none;
}

#define ROW_FUNCTION(type, name, TAG, member, wanted)                                                                \
    type name(const ef_rows *rows, size_t row, const char *column) {                                                 \
        const ef_value *value = ef_row_value(rows, row, column);                                                     \
        type none;                                                                                                   \
        memset(&none, 0, sizeof none);                                                                               \
        if (!value) return none;                                                                                     \
        if (value->tag == V(TAG)) return value->val.member;                                                          \
        misfit(rows, column, *value, wanted);                                                                        \
        return none;                                                                                                 \
    }
ROW_FUNCTION(bool, ef_row_bool, BOOLEAN, boolean, "boolean")
ROW_FUNCTION(ef_bytes, ef_row_bytes, BYTES, bytes, "bytea")
ROW_FUNCTION(int64_t, ef_row_timestamptz, TIMESTAMPTZ, timestamptz, "timestamptz")
ROW_FUNCTION(int32_t, ef_row_date, DATE, date, "date")
