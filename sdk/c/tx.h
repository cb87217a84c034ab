// The inside of a transaction.
#ifndef EVENTFABRIC_TX_H
#define EVENTFABRIC_TX_H

#include "internal.h"

enum { RETRY, POISON, FATAL }; // as the contract numbers them

enum { NO_EVENT = -1 };

typedef struct merged_table merged_table;

struct ef_tx {
    const ef_backend *backend;
    int64_t event; // the event to blame, or NO_EVENT
    bool failed;
    uint8_t kind;
    int64_t failed_event;
    ef_str message;

    // What is queued: texts, their uses, and the event that each use is for.
    ef_str *statements;
    eventfabric_projection_sql_call_t *calls;
    int64_t *events;
    size_t statement_count, statement_room, call_count, call_room, bytes;

    merged_table *tables; // in the order of their names

    const ef_upcaster *upcasters; // of the projection, for events that are loaded
};

// Notes a failure, unless there is one.
void ef_fail(ef_tx *tx, uint8_t kind, int64_t event, ef_str message);

// Writes out what is queued, and tells whether all went well; the failure, where not.
bool ef_end(ef_tx *tx, projection_failure_t *failure);

// Puts a write into the queue.
void ef_queue(ef_tx *tx, const char *statement, const ef_value *params, size_t count, int64_t event);

// Queues the merged rows of the tables that a statement names, or of all (NULL).
void ef_write_tables(ef_tx *tx, const char *statement);

ef_value ef_copy(ef_value value);

// Whether a value is an integer, and which.
bool ef_integer(ef_value value, int64_t *number);

#define V(TAG) EVENTFABRIC_PROJECTION_SQL_VALUE_##TAG

#endif
