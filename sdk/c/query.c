// Queries: what they say of themselves, and their answers.

#include "tx.h"

#define KIND(TAG) EXPORTS_EVENTFABRIC_QUERY_QUERIES_PARAMETER_TYPE_##TAG

// By ef_param_type: what the contract calls it, how its values come, and its name for people.
static const struct {
    uint8_t type, tag;
    const char *text;
} KINDS[] = {
    [EF_PARAM_BOOL] = {KIND(BOOLEAN), V(BOOLEAN), "boolean"},
    [EF_PARAM_INT64] = {KIND(INT64), V(INT64), "int64"},
    [EF_PARAM_FLOAT64] = {KIND(FLOAT64), V(FLOAT64), "float64"},
    [EF_PARAM_NUMERIC] = {KIND(NUMERIC), V(NUMERIC), "numeric"},
    [EF_PARAM_TEXT] = {KIND(TEXT), V(TEXT), "text"},
    [EF_PARAM_UUID] = {KIND(UUID), V(UUID), "uuid"},
    [EF_PARAM_TIMESTAMPTZ] = {KIND(TIMESTAMPTZ), V(TIMESTAMPTZ), "timestamptz"},
    [EF_PARAM_DATE] = {KIND(DATE), V(DATE), "date"},
};

// ---- The description ----

static void check_name(const char *what, const char *name) {
    const char *rest = name;
    bool good = *rest >= 'a' && *rest <= 'z';
    while ((*rest >= 'a' && *rest <= 'z') || (*rest >= '0' && *rest <= '9') || *rest == '_') rest++;
    if (good && !*rest && rest - name <= 48) return;
    ef_refuse(ef_format("the name of a %s is [a-z][a-z0-9_]{0,47}; \"%s\" is not", what, name));
}

static size_t parameter_count(const ef_named_query *query) {
    size_t count = 0;
    while (query->parameters && query->parameters[count].name) count++;
    return count;
}

void ef_describe_queries(const ef_named_query *queries, exports_eventfabric_query_queries_list_query_description_t *list) {
    list->len = 0;
    while (queries[list->len].name) list->len++;
    list->ptr = ef_alloc(list->len * sizeof(*list->ptr));
    for (size_t i = 0; i < list->len; i++) {
        const ef_named_query *query = &queries[i];
        check_name("query", query->name);
        for (size_t j = 0; j < i; j++) {
            if (strcmp(queries[j].name, query->name) == 0) ef_refuse(ef_format("there are two queries \"%s\"", query->name));
        }
        if (!query->answer) ef_refuse(ef_format("query \"%s\" has no function that answers it", query->name));
        exports_eventfabric_query_queries_query_description_t *made = &list->ptr[i];
        made->name = ef_str_of(query->name);
        made->text = ef_str_of(query->text ? query->text : "");
        made->per_tenant = query->per_tenant;
        made->parameters.len = parameter_count(query);
        made->parameters.ptr = ef_alloc(made->parameters.len * sizeof(*made->parameters.ptr));
        for (size_t j = 0; j < made->parameters.len; j++) {
            const ef_parameter *parameter = &query->parameters[j];
            check_name("parameter", parameter->name);
            for (size_t k = 0; k < j; k++) {
                if (strcmp(query->parameters[k].name, parameter->name) == 0) {
                    ef_refuse(ef_format("query \"%s\" has two parameters \"%s\"", query->name, parameter->name));
                }
            }
            made->parameters.ptr[j] = (exports_eventfabric_query_queries_parameter_t){
                .name = ef_str_of(parameter->name),
                .text = ef_str_of(parameter->text ? parameter->text : ""),
                .type = KINDS[parameter->type].type,
                .required = !parameter->optional,
            };
        }
    }
}

// ---- The answer ----

static const ef_value *given(const ef_request *request, const char *name) {
    for (size_t i = 0; i < request->given.len; i++) {
        if (ef_str_equals(request->given.ptr[i].f0, name)) return &request->given.ptr[i].f1;
    }
    return NULL;
}

// The host has checked it; a test may not have.
static void check(const ef_request *request) {
    for (const ef_parameter *parameter = request->parameters; parameter && parameter->name; parameter++) {
        const ef_value *value = given(request, parameter->name);
        if (!value && !parameter->optional) {
            ef_poison(request->tx, "parameter %s is missing", parameter->name);
        } else if (value && value->tag != KINDS[parameter->type].tag) {
            ef_poison(request->tx, "parameter %s is no %s", parameter->name, KINDS[parameter->type].text);
        }
    }
}

static bool answer(const ef_named_query *queries, ef_tx *tx, const exports_eventfabric_query_queries_request_t *asked,
                   ef_row_set *set) {
    const ef_named_query *query = queries;
    while (query->name && !ef_str_equals(asked->name, query->name)) query++;
    if (!query->name) {
        ef_poison(tx, "there is no query %.*s", EF_STR(asked->name));
        return false;
    }
    ef_request request = {asked->tenant, asked->parameters, query->parameters, tx};
    check(&request);
    if (tx->failed) return false;
    ef_rows *rows = query->answer(tx, &request);
    if (rows) {
        *set = rows->set;
    } else {
        ef_fatal(tx, "query %s returned neither rows nor a failure", query->name); // which counts where there is none
    }
    return rows;
}

bool ef_answer_query(const ef_named_query *queries, const ef_backend *backend,
                     const exports_eventfabric_query_queries_request_t *asked, ef_row_set *rows, projection_failure_t *failure) {
    ef_tx tx = {.backend = backend, .event = NO_EVENT};
    answer(queries, &tx, asked, rows);
    return ef_end(&tx, failure);
}

// ---- Parameters ----

static const ef_value *find(const ef_request *request, const char *name) {
    const ef_parameter *parameter = request->parameters;
    while (parameter && parameter->name && strcmp(parameter->name, name)) parameter++;
    if (!parameter || !parameter->name) ef_fatal(request->tx, "this query has no parameter \"%s\"", name);
    return given(request, name);
}

bool ef_param_given(const ef_request *request, const char *name) { return find(request, name); }

ef_value ef_param(const ef_request *request, const char *name) {
    const ef_value *value = find(request, name);
    return value ? *value : ef_null();
}

static void misfit(const ef_request *request, const char *name, const char *wanted) {
    ef_fatal(request->tx, "parameter \"%s\" is no %s", name, wanted);
}

#define PARAM_FUNCTION(type, name, TAG, member, wanted)                                                              \
    type name(const ef_request *request, const char *parameter, type otherwise) {                                    \
        const ef_value *value = find(request, parameter);                                                            \
        if (!value) return otherwise;                                                                                \
        if (value->tag == V(TAG)) return value->val.member;                                                          \
        misfit(request, parameter, wanted);                                                                          \
        return otherwise;                                                                                            \
    }
PARAM_FUNCTION(bool, ef_param_bool, BOOLEAN, boolean, "boolean")
PARAM_FUNCTION(int64_t, ef_param_int64, INT64, int64, "int64")
PARAM_FUNCTION(double, ef_param_float64, FLOAT64, float64, "float64")
PARAM_FUNCTION(int64_t, ef_param_timestamptz, TIMESTAMPTZ, timestamptz, "timestamptz")
PARAM_FUNCTION(int32_t, ef_param_date, DATE, date, "date")

ef_str ef_param_text(const ef_request *request, const char *name) {
    ef_str none = {NULL, 0};
    const ef_value *value = find(request, name);
    if (!value) return none;
    if (value->tag == V(TEXT) || value->tag == V(NUMERIC) || value->tag == V(UUID)) return value->val.text;
    misfit(request, name, "text");
    return none;
}
