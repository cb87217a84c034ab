// A projection that answers queries.

#include "eventfabric.h"

static const char create_accounts[] = {
#embed "../migrations/001_create_accounts.sql"
    , 0};

static void opened(ef_tx *tx, const ef_event *event) {
    ef_run(tx, "INSERT INTO accounts VALUES ($1, $2, $3, $4, $5)", ef_text(event->aggregate_id), ef_text(event->tenant),
           ef_int64(ef_event_int64(event, "cents")), ef_numeric(ef_event_numeric(event, "rate")),
           ef_timestamptz(event->occurred_at));
}

static const ef_projection projection = {
    .name = "c_queries",
    .mode = EF_CATCH_UP,
    .migrations = (const ef_migration[]){{"001_create_accounts.sql", create_accounts}, {0}},
    .handlers = (const ef_handler[]){{"AccountOpened", opened}, {0}},
};
EF_EXPORT(projection)

static ef_rows *richest(ef_tx *tx, const ef_request *request) {
    return ef_query(tx, "SELECT id, cents, rate, opened FROM accounts WHERE cents >= $1 ORDER BY cents DESC LIMIT $2",
                    ef_param(request, "least"), ef_int64(ef_param_int64(request, "limit", 10)));
}

static ef_rows *own(ef_tx *tx, const ef_request *request) {
    return ef_query(tx, "SELECT count(*) AS n FROM accounts WHERE tenant = $1", ef_text(request->tenant));
}

static ef_rows *echo(ef_tx *tx, const ef_request *request) {
    static const char *const names[] = {"flag", "int", "float", "num", "text", "id", "at", "day"};
    ef_rows *rows = ef_rows_new(tx, names, 8);
    ef_value values[8];
    for (size_t i = 0; i < 8; i++) values[i] = ef_param(request, names[i]);
    ef_rows_add(rows, values, 8);
    return rows;
}

static ef_rows *write(ef_tx *tx, const ef_request *request) {
    (void)request;
    ef_run(tx, "DELETE FROM accounts");
    return ef_query(tx, "SELECT 1 AS n");
}

static ef_rows *refuse(ef_tx *tx, const ef_request *request) {
    ef_poison(tx, "refused: %.*s", EF_STR(ef_param_text(request, "why")));
    return NULL;
}

static ef_rows *panics(ef_tx *tx, const ef_request *request) {
    (void)request;
    (void)tx;
    __builtin_trap();
}

static const ef_named_query queries[] = {
    {"richest", "The accounts with the most on them", richest,
     (const ef_parameter[]){{"least", "Cents, at least", EF_PARAM_INT64, false},
                            {"limit", "How many accounts, at most", EF_PARAM_INT64, true},
                            {0}},
     false},
    {"own", "How many accounts a tenant has", own, NULL, true},
    {"echo", "The parameters, as they came", echo,
     (const ef_parameter[]){{"flag", "", EF_PARAM_BOOL, true},
                            {"int", "", EF_PARAM_INT64, true},
                            {"float", "", EF_PARAM_FLOAT64, true},
                            {"num", "", EF_PARAM_NUMERIC, true},
                            {"text", "", EF_PARAM_TEXT, true},
                            {"id", "", EF_PARAM_UUID, true},
                            {"at", "", EF_PARAM_TIMESTAMPTZ, true},
                            {"day", "", EF_PARAM_DATE, true},
                            {0}},
     false},
    {"write", "What is denied", write, NULL, false},
    {"refuse", "What makes no sense", refuse, (const ef_parameter[]){{"why", "", EF_PARAM_TEXT, false}, {0}}, false},
    {"panics", "What nobody foresaw", panics, NULL, false},
    {0},
};
EF_EXPORT_QUERIES(queries)
