// Read models by key: what a batch does to a row is merged before it is written.

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "tx.h"

// What a column is set to or, where it adds, what is added to it.
typedef struct change {
    const char *column;
    ef_value value;
    bool adds;
} change;

// What a batch has done to one key: it was deleted, then inserted or changed, each if at all.
typedef struct merged_row {
    ef_value *key;
    size_t key_count;
    ef_str encoded;
    int64_t event;
    bool deleted, inserted;
    change *changes; // in the order of their columns' names
    size_t change_count, change_room;
} merged_row;

struct merged_table {
    const ef_table *table;
    merged_row **rows;
    size_t count, room;
    // Open addressing, by the encoded key: indexes into `rows`, plus one.
    uint32_t *slots;
    size_t slot_count;
    merged_table *next;
};

// ---- Keys ----

// What a value is called by: its kind and its bytes. Integers of all sizes are the same.
static ef_str encode(const ef_value *key, size_t count) {
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        bool text = key[i].tag == V(TEXT) || key[i].tag == V(NUMERIC) || key[i].tag == V(UUID) || key[i].tag == V(JSON) ||
                    key[i].tag == V(BYTES);
        room += 16 + (text ? key[i].val.text.len : 0);
    }
    ef_str encoded = {ef_alloc(room), 0};
    for (size_t i = 0; i < count; i++) {
        ef_value value = key[i];
        const void *bytes = &value.val;
        size_t length = 0;
        int64_t number;
        if (ef_integer(value, &number)) {
            value.tag = V(INT64);
            bytes = &number;
            length = sizeof number;
        } else {
            switch (value.tag) {
            case V(TEXT):
            case V(NUMERIC):
            case V(UUID):
            case V(JSON):
            case V(BYTES):
                bytes = value.val.text.ptr;
                length = value.val.text.len;
                break;
            case V(BOOLEAN):
                length = sizeof value.val.boolean;
                break;
            case V(DATE):
            case V(FLOAT32):
                length = sizeof value.val.date;
                break;
            case V(TIMESTAMPTZ):
            case V(FLOAT64):
                length = sizeof value.val.timestamptz;
                break;
            }
        }
        uint32_t head[2] = {value.tag, (uint32_t)length};
        memcpy(encoded.ptr + encoded.len, head, sizeof head);
        memcpy(encoded.ptr + encoded.len + sizeof head, bytes, length);
        encoded.len += sizeof head + length;
    }
    return encoded;
}

static int compare_bytes(ef_str a, ef_str b) {
    size_t shorter = a.len < b.len ? a.len : b.len;
    int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_rows(const void *left, const void *right) {
    const merged_row *a = *(merged_row *const *)left, *b = *(merged_row *const *)right;
    for (size_t i = 0; i < a->key_count; i++) {
        int64_t x, y;
        int order = 0;
        if (ef_integer(a->key[i], &x) && ef_integer(b->key[i], &y)) {
            order = (x > y) - (x < y);
        } else if (a->key[i].tag == b->key[i].tag && (a->key[i].tag == V(TEXT) || a->key[i].tag == V(UUID))) {
            order = compare_bytes(a->key[i].val.text, b->key[i].val.text);
        } else if (a->key[i].tag == b->key[i].tag && a->key[i].tag == V(TIMESTAMPTZ)) {
            order = (a->key[i].val.timestamptz > b->key[i].val.timestamptz) - (a->key[i].val.timestamptz < b->key[i].val.timestamptz);
        } else if (a->key[i].tag == b->key[i].tag && a->key[i].tag == V(DATE)) {
            order = (a->key[i].val.date > b->key[i].val.date) - (a->key[i].val.date < b->key[i].val.date);
        } else {
            order = compare_bytes(encode(&a->key[i], 1), encode(&b->key[i], 1));
        }
        if (order) return order;
    }
    return 0;
}

// ---- Merging ----

static merged_table *table_of(ef_tx *tx, const ef_table *table) {
    merged_table **place = &tx->tables;
    while (*place && strcmp((*place)->table->name, table->name) < 0) place = &(*place)->next;
    if (*place && strcmp((*place)->table->name, table->name) == 0) return *place;
    merged_table *made = ef_alloc(sizeof(merged_table));
    memset(made, 0, sizeof *made);
    made->table = table;
    made->next = *place;
    return *place = made;
}

static uint32_t hash_of(ef_str bytes) {
    uint32_t hash = 2166136261u; // FNV-1a
    for (size_t i = 0; i < bytes.len; i++) hash = (hash ^ bytes.ptr[i]) * 16777619u;
    return hash;
}

// The slot of a key: that which holds it, or the free one where it belongs.
static uint32_t *slot_of(merged_table *merged, ef_str encoded) {
    for (size_t i = hash_of(encoded);; i++) {
        uint32_t *slot = &merged->slots[i & (merged->slot_count - 1)];
        if (*slot == 0 || compare_bytes(merged->rows[*slot - 1]->encoded, encoded) == 0) return slot;
    }
}

static void grow(merged_table *merged) {
    size_t room = merged->room ? merged->room * 2 : 16;
    merged->rows = ef_grown(merged->rows, merged->room * sizeof(merged_row *), room * sizeof(merged_row *));
    merged->room = room;
    merged->slot_count = room * 2;
    merged->slots = ef_alloc(merged->slot_count * sizeof(uint32_t));
    memset(merged->slots, 0, merged->slot_count * sizeof(uint32_t));
    for (size_t i = 0; i < merged->count; i++) *slot_of(merged, merged->rows[i]->encoded) = (uint32_t)i + 1;
}

// What was done to a key before.
static merged_row *row_of(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count) {
    if (tx->failed) return NULL;
    if (key_count != table->key_count) {
        ef_fatal(tx, "%zu values for the key of %s, which has %zu columns", key_count, table->name, table->key_count);
        return NULL;
    }
    merged_table *merged = table_of(tx, table);
    if (merged->count == merged->room) grow(merged);
    ef_str encoded = encode(key, key_count);
    uint32_t *slot = slot_of(merged, encoded);
    if (*slot) {
        merged_row *row = merged->rows[*slot - 1];
        if (row->event != tx->event) row->event = NO_EVENT;
        return row;
    }
    merged_row *row = ef_alloc(sizeof(merged_row));
    memset(row, 0, sizeof *row);
    row->key = ef_alloc(key_count * sizeof(ef_value));
    for (size_t i = 0; i < key_count; i++) row->key[i] = ef_copy(key[i]);
    row->key_count = key_count;
    row->encoded = encoded;
    row->event = tx->event;
    merged->rows[merged->count++] = row;
    *slot = (uint32_t)merged->count;
    return row;
}

// The change of a column; one that was not there adds nothing so far.
static change *change_of(merged_row *row, const char *column) {
    size_t at = 0;
    while (at < row->change_count && strcmp(row->changes[at].column, column) < 0) at++;
    if (at < row->change_count && strcmp(row->changes[at].column, column) == 0) return &row->changes[at];
    if (row->change_count == row->change_room) {
        size_t room = row->change_room ? row->change_room * 2 : 4;
        row->changes = ef_grown(row->changes, row->change_room * sizeof(change), room * sizeof(change));
        row->change_room = room;
    }
    memmove(&row->changes[at + 1], &row->changes[at], (row->change_count++ - at) * sizeof(change));
    row->changes[at].column = (const char *)ef_format("%s", column).ptr;
    row->changes[at].value = ef_null();
    row->changes[at].adds = true;
    return &row->changes[at];
}

void ef_upsert_values(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count, const ef_column *columns,
                      size_t column_count) {
    merged_row *row = row_of(tx, table, key, key_count);
    if (!row) return;
    row->inserted = true;
    for (size_t i = 0; i < column_count; i++) {
        change *change = change_of(row, columns[i].name);
        change->value = ef_copy(columns[i].value);
        change->adds = false;
    }
}

static void add(ef_tx *tx, const ef_table *table, change *change, ef_value by) {
    int64_t x = 0, y, sum;
    bool first = change->value.tag == V(NULL);
    if ((first || ef_integer(change->value, &x)) && ef_integer(by, &y)) {
        if (__builtin_add_overflow(x, y, &sum)) {
            ef_poison(tx, "column `%s` of %s: the sum is greater than a bigint", change->column, table->name);
        } else {
            change->value = ef_int64(sum);
        }
    } else {
        // Sums of floats would depend on how the batches are cut.
        ef_fatal(tx, "column `%s` of %s: only integers can be added", change->column, table->name);
    }
}

void ef_increment_values(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count,
                         const ef_column *columns, size_t column_count) {
    merged_row *row = row_of(tx, table, key, key_count);
    if (!row) return;
    row->inserted = true;
    for (size_t i = 0; i < column_count; i++) add(tx, table, change_of(row, columns[i].name), columns[i].value);
}

void ef_delete_values(ef_tx *tx, const ef_table *table, const ef_value *key, size_t key_count) {
    merged_row *row = row_of(tx, table, key, key_count);
    if (!row) return;
    row->deleted = true;
    row->inserted = false;
    row->change_count = 0;
}

// ---- Writing ----

// A name in quotes.
static ef_str quoted(const char *name) {
    ef_str text = {ef_alloc(2 * strlen(name) + 3), 0};
    text.ptr[text.len++] = '"';
    for (; *name; name++) {
        if (*name == '"') text.ptr[text.len++] = '"';
        text.ptr[text.len++] = (uint8_t)*name;
    }
    text.ptr[text.len++] = '"';
    text.ptr[text.len] = 0;
    return text;
}

static void append(ef_str *text, const char *between, ef_str more) {
    *text = ef_format("%.*s%s%.*s", EF_STR(*text), text->len ? between : "", EF_STR(more));
}

static const char *deletion(const ef_table *table) {
    ef_str where = {NULL, 0};
    for (size_t i = 0; i < table->key_count; i++) {
        append(&where, " AND ", ef_format("%s = $%zu", quoted(table->key[i]).ptr, i + 1));
    }
    return (const char *)ef_format("DELETE FROM %s WHERE %.*s", quoted(table->name).ptr, EF_STR(where)).ptr;
}

static const char *upsert(const ef_table *table, const merged_row *row) {
    ef_str key = {NULL, 0}, columns, places = {NULL, 0}, sets = {NULL, 0};
    for (size_t i = 0; i < table->key_count; i++) append(&key, ", ", quoted(table->key[i]));
    columns = key;
    for (size_t i = 0; i < row->change_count; i++) {
        const char *column = (const char *)quoted(row->changes[i].column).ptr;
        append(&columns, ", ", ef_str_of(column));
        append(&sets, ", ", row->changes[i].adds
                                ? ef_format("%s = coalesce(t.%s, 0) + EXCLUDED.%s", column, column, column)
                                : ef_format("%s = EXCLUDED.%s", column, column));
    }
    for (size_t i = 0; i < table->key_count + row->change_count; i++) append(&places, ", ", ef_format("$%zu", i + 1));
    return (const char *)ef_format("INSERT INTO %s AS t (%.*s) VALUES (%.*s) ON CONFLICT (%.*s) DO %s%.*s",
                                   quoted(table->name).ptr, EF_STR(columns), EF_STR(places), EF_STR(key),
                                   sets.len ? "UPDATE SET " : "NOTHING", EF_STR(sets)).ptr;
}

static bool same_shape(const merged_row *a, const merged_row *b) {
    if (a->change_count != b->change_count) return false;
    for (size_t i = 0; i < a->change_count; i++) {
        if (a->changes[i].adds != b->changes[i].adds || strcmp(a->changes[i].column, b->changes[i].column)) return false;
    }
    return true;
}

static void write_table(ef_tx *tx, merged_table *merged) {
    qsort(merged->rows, merged->count, sizeof(merged_row *), compare_rows);
    const merged_row *before = NULL;
    const char *statement = NULL;
    for (size_t i = 0; i < merged->count; i++) {
        merged_row *row = merged->rows[i];
        if (row->deleted) ef_queue(tx, deletion(merged->table), row->key, row->key_count, row->event);
        if (!row->inserted) continue;
        if (!before || !same_shape(before, row)) statement = upsert(merged->table, row);
        before = row;
        size_t count = row->key_count + row->change_count;
        ef_value *values = ef_alloc(count * sizeof(ef_value));
        memcpy(values, row->key, row->key_count * sizeof(ef_value));
        for (size_t j = 0; j < row->change_count; j++) values[row->key_count + j] = row->changes[j].value;
        ef_queue(tx, statement, values, count, row->event);
    }
}

static bool is_word(char c) {
    return c == '_' || c == '$' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

// Whether a text holds a name as a word of its own.
static bool names(const char *text, const char *name) {
    size_t length = strlen(name);
    for (const char *at = text; *at; at++) {
        if (strncasecmp(at, name, length) == 0 && (at == text || !is_word(at[-1])) && !is_word(at[length])) return true;
    }
    return false;
}

void ef_write_tables(ef_tx *tx, const char *statement) {
    for (merged_table **place = &tx->tables; *place;) {
        merged_table *merged = *place;
        if (statement && !names(statement, merged->table->name)) {
            place = &merged->next;
            continue;
        }
        *place = merged->next;
        write_table(tx, merged);
    }
}
