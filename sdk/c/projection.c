// A projection: what it says of itself, and how it handles a batch.

#include <stdlib.h>

#include "event.h"
#include "tx.h"

static ef_str optional(projection_option_string_t text) {
    ef_str none = {NULL, 0};
    return text.is_some ? text.val : none;
}

static const ef_handler *handler_of(const ef_projection *projection, ef_str event_type) {
    const ef_handler *handler = projection->handlers;
    for (; handler->event_type; handler++) {
        if (ef_str_equals(event_type, handler->event_type)) return handler;
    }
    return handler->handle ? handler : NULL;
}

static void run(const ef_projection *projection, ef_tx *tx, ef_event *events, size_t count) {
    for (size_t i = 0; i < count && !tx->failed; i++) {
        tx->event = (int64_t)i;
        ef_event_lift(&events[i], projection->upcasters);
        if (tx->failed || projection->handle_batch) continue;
        const ef_handler *handler = handler_of(projection, events[i].event_type);
        if (!handler) {
            ef_fatal(tx, "there is no handler for %.*s", EF_STR(events[i].event_type));
            return;
        }
        handler->handle(tx, &events[i]);
    }
    if (!projection->handle_batch || tx->failed) return;
    tx->event = NO_EVENT;
    projection->handle_batch(tx, events, count);
}

ef_event ef_event_of(ef_tx *tx, const projection_event_t *raw, uint32_t index) {
    return (ef_event){
        .position = raw->position,
        .id = raw->id,
        .tenant = raw->tenant,
        .aggregate = raw->aggregate,
        .aggregate_id = raw->aggregate_id,
        .version = raw->version,
        .event_type = raw->event_type,
        .schema_version = raw->schema_version,
        .payload = raw->payload,
        .occurred_at = raw->occurred_at,
        .correlation_id = optional(raw->correlation_id),
        .causation_id = optional(raw->causation_id),
        .index = index,
        .tx = tx,
    };
}

bool ef_handle(const ef_projection *projection, const ef_backend *backend, const projection_event_t *raw, size_t count,
               projection_failure_t *failure) {
    ef_tx tx = {.backend = backend, .event = NO_EVENT, .upcasters = projection->upcasters};
    ef_event *events = ef_alloc(count * sizeof(ef_event));
    for (size_t i = 0; i < count; i++) events[i] = ef_event_of(&tx, &raw[i], (uint32_t)i);
    run(projection, &tx, events, count);
    return ef_end(&tx, failure);
}

// ---- The description ----

void ef_refuse(ef_str why) {
    ef_write_log(EF_ERROR, why);
    __builtin_trap();
}

static projection_list_string_t list_of(const char *const *texts) {
    projection_list_string_t list = {NULL, 0};
    while (texts && texts[list.len]) list.len++;
    list.ptr = ef_alloc(list.len * sizeof(ef_str));
    for (size_t i = 0; i < list.len; i++) list.ptr[i] = ef_str_of(texts[i]);
    return list;
}

// `migrations/001_create_accounts.sql` is step 1, `create accounts`.
static eventfabric_projection_types_migration_t step_of(ef_migration migration) {
    const char *slash = strrchr(migration.file, '/'), *name = slash ? slash + 1 : migration.file;
    char *end;
    unsigned long number = strtoul(name, &end, 10);
    if (number == 0 || *end != '_') {
        ef_refuse(ef_format("a migration's file is named by number and purpose, such as 001_create_accounts.sql; %s is not",
                         migration.file));
    }
    ef_str text = ef_format("%s", end + 1);
    if (text.len > 4 && memcmp(text.ptr + text.len - 4, ".sql", 4) == 0) text.len -= 4;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '_') text.ptr[i] = ' ';
    }
    return (eventfabric_projection_types_migration_t){(uint32_t)number, text, ef_str_of(migration.sql)};
}

static projection_list_string_t types_of(const ef_projection *projection) {
    if (projection->handle_batch) return list_of(projection->event_types);
    size_t count = 0;
    while (projection->handlers[count].event_type) count++;
    projection_list_string_t list = {ef_alloc(count * sizeof(ef_str)), count};
    for (size_t i = 0; i < count; i++) list.ptr[i] = ef_str_of(projection->handlers[i].event_type);
    if (projection->handlers[count].handle) list.len = 0; // all of them
    return list;
}

void ef_describe(const ef_projection *projection, projection_description_t *description) {
    if (!projection->handlers == !projection->handle_batch) {
        ef_refuse(ef_format("projection %s has neither handlers nor handle_batch, or both", projection->name));
    }
    memset(description, 0, sizeof *description);
    description->name = ef_str_of(projection->name);
    description->text = ef_str_of(projection->text ? projection->text : "");
    description->mode = (uint8_t)projection->mode;
    if (projection->only_topics) {
        description->topics.tag = EVENTFABRIC_PROJECTION_TYPES_TOPIC_FILTER_INCLUDE;
        description->topics.val.include = list_of(projection->only_topics);
    } else if (projection->except_topics) {
        description->topics.tag = EVENTFABRIC_PROJECTION_TYPES_TOPIC_FILTER_EXCLUDE;
        description->topics.val.exclude = list_of(projection->except_topics);
    }
    description->event_types = types_of(projection);
    const ef_migration *migrations = projection->migrations;
    size_t count = 0;
    while (migrations && migrations[count].file) count++;
    description->migrations.ptr = ef_alloc(count * sizeof(*description->migrations.ptr));
    description->migrations.len = count;
    for (size_t i = 0; i < count; i++) description->migrations.ptr[i] = step_of(migrations[i]);
}
