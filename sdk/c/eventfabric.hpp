// The SDK for projections in C++: a thin layer over eventfabric.h, which says what the functions do. It needs C++20, and
// neither exceptions nor run-time type information.
#ifndef EVENTFABRIC_HPP
#define EVENTFABRIC_HPP

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "eventfabric.h"

namespace eventfabric {

inline ef_str str(std::string_view text) {
    // A text without a pointer would be NULL.
    return {reinterpret_cast<uint8_t *>(const_cast<char *>(text.data() ? text.data() : "")), text.size()};
}
inline std::string_view view(ef_str text) { return {reinterpret_cast<const char *>(text.ptr), text.len}; }

// What C++ has no type of its own for.
struct Numeric { std::string_view text; };  // decimal text
struct Uuid { std::string_view text; };     // 36 characters
struct Json { std::string_view text; };
struct Timestamptz { int64_t micros; };     // since 1970
struct Date { int32_t days; };              // since 1970
struct Other { const char *type; std::string_view text; };

// Parameters: integers, floats, bool, texts, spans of bytes, the types above, and std::optional of each for NULL.
inline ef_value value(std::nullptr_t) { return ef_null(); }
inline ef_value value(std::same_as<bool> auto it) { return ef_bool(it); }
template <std::integral T>
    requires(!std::same_as<T, bool>)
ef_value value(T it) {
    if constexpr (sizeof(T) < sizeof(int16_t) || (sizeof(T) == sizeof(int16_t) && std::is_signed_v<T>)) {
        return ef_int16(static_cast<int16_t>(it));
    } else if constexpr (sizeof(T) < sizeof(int32_t) || (sizeof(T) == sizeof(int32_t) && std::is_signed_v<T>)) {
        return ef_int32(static_cast<int32_t>(it));
    } else {
        if (std::is_signed_v<T> || static_cast<uint64_t>(it) <= INT64_MAX) return ef_int64(static_cast<int64_t>(it));
        return ef_numeric(ef_format("%llu", static_cast<unsigned long long>(it))); // past bigint
    }
}
inline ef_value value(float it) { return ef_float32(it); }
inline ef_value value(double it) { return ef_float64(it); }
inline ef_value value(std::string_view it) { return ef_text(str(it)); }
inline ef_value value(const char *it) { return ef_text(it); }
inline ef_value value(ef_str it) { return ef_text(it); }
inline ef_value value(std::span<const uint8_t> it) { return ef_bytea({const_cast<uint8_t *>(it.data()), it.size()}); }
inline ef_value value(Numeric it) { return ef_numeric(str(it.text)); }
inline ef_value value(Uuid it) { return ef_uuid(str(it.text)); }
inline ef_value value(Json it) { return ef_json(str(it.text)); }
inline ef_value value(Timestamptz it) { return ef_timestamptz(it.micros); }
inline ef_value value(Date it) { return ef_date(it.days); }
inline ef_value value(Other it) { return ef_other(it.type, str(it.text)); }
inline ef_value value(const ef_value &it) { return it; }
template <typename T>
ef_value value(const std::optional<T> &it) {
    return it ? value(*it) : ef_null();
}

// A value of a row. Arrays are read through `Rows::raw`.
using Value = std::variant<std::monostate, bool, int16_t, int32_t, int64_t, float, double, std::string_view,
                           std::span<const uint8_t>, Numeric, Uuid, Json, Timestamptz, Date, Other>;

// A fact from the log: `event->aggregate_id` and its like, and the fields of its payload (a way such as "items.0.price").
class Event {
public:
    explicit Event(const ef_event *event) : event_(event) {}
    const ef_event *operator->() const { return event_; }
    std::string_view aggregate_id() const { return view(event_->aggregate_id); }
    std::string_view type() const { return view(event_->event_type); }

    std::string_view text(const char *field) const { return view(ef_event_text(event_, field)); }
    int64_t int64(const char *field) const { return ef_event_int64(event_, field); }
    double float64(const char *field) const { return ef_event_float64(event_, field); }
    bool boolean(const char *field) const { return ef_event_bool(event_, field); }
    Numeric numeric(const char *field) const { return {view(ef_event_numeric(event_, field))}; }
    Json json(const char *field) const { return {view(ef_event_json(event_, field))}; }
    size_t count(const char *field) const { return ef_event_count(event_, field); }
    bool has(const char *field) const { return ef_event_has(event_, field); }
    std::optional<std::string_view> optional_text(const char *field) const {
        if (!has(field)) return std::nullopt;
        return text(field);
    }

private:
    const ef_event *event_;
};

// Rows of a query; none where it failed.
class Rows {
public:
    explicit Rows(ef_rows *rows) : rows_(rows) {}
    ef_rows *raw() const { return rows_; }
    size_t size() const { return rows_ ? rows_->count : 0; }

    int64_t int64(size_t row, const char *column) const { return ef_row_int64(rows_, row, column); }
    double float64(size_t row, const char *column) const { return ef_row_float64(rows_, row, column); }
    bool boolean(size_t row, const char *column) const { return ef_row_bool(rows_, row, column); }
    std::string_view text(size_t row, const char *column) const { return view(ef_row_text(rows_, row, column)); }
    Timestamptz timestamptz(size_t row, const char *column) const { return {ef_row_timestamptz(rows_, row, column)}; }
    Date date(size_t row, const char *column) const { return {ef_row_date(rows_, row, column)}; }
    bool is_null(size_t row, const char *column) const { return ef_row_is_null(rows_, row, column); }
    const ef_value *raw(size_t row, const char *column) const { return ef_row_value(rows_, row, column); }

    Value at(size_t row, const char *column) const {
        const ef_value *it = raw(row, column);
        if (!it) return {};
        switch (it->tag) {
        case EVENTFABRIC_PROJECTION_SQL_VALUE_BOOLEAN: return it->val.boolean;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_INT16: return it->val.int16;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_INT32: return it->val.int32;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_INT64: return it->val.int64;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_FLOAT32: return it->val.float32;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_FLOAT64: return it->val.float64;
        case EVENTFABRIC_PROJECTION_SQL_VALUE_TEXT: return view(it->val.text);
        case EVENTFABRIC_PROJECTION_SQL_VALUE_BYTES:
            return std::span<const uint8_t>(it->val.bytes.ptr, it->val.bytes.len);
        case EVENTFABRIC_PROJECTION_SQL_VALUE_NUMERIC: return Numeric{view(it->val.numeric)};
        case EVENTFABRIC_PROJECTION_SQL_VALUE_UUID: return Uuid{view(it->val.uuid)};
        case EVENTFABRIC_PROJECTION_SQL_VALUE_JSON: return Json{view(it->val.json)};
        case EVENTFABRIC_PROJECTION_SQL_VALUE_TIMESTAMPTZ: return Timestamptz{it->val.timestamptz};
        case EVENTFABRIC_PROJECTION_SQL_VALUE_DATE: return Date{it->val.date};
        case EVENTFABRIC_PROJECTION_SQL_VALUE_OTHER:
            return Other{chars(it->val.other.f0), view(it->val.other.f1)};
        default: return {};
        }
    }

private:
    // The same with a zero at its end.
    static const char *chars(ef_str text) { return reinterpret_cast<const char *>(ef_format("%.*s", EF_STR(text)).ptr); }
    ef_rows *rows_;
};

// A stream of the log; none where it could not be loaded. See ef_load.
class Stream {
public:
    explicit Stream(const ef_stream *stream) : stream_(stream) {}
    explicit operator bool() const { return stream_; }
    size_t size() const { return stream_ ? stream_->count : 0; }
    Event operator[](size_t index) const { return Event(&stream_->events[index]); }
    uint32_t version() const { return stream_ ? stream_->version : 0; }

private:
    const ef_stream *stream_;
};

// What a server has answered; none where it could not be asked. See ef_send.
class Response {
public:
    explicit Response(const ef_response *response) : response_(response) {}
    const ef_response *raw() const { return response_; }
    bool check() const { return ef_response_check(response_); }
    uint16_t status() const { return response_ ? response_->status : 0; }
    std::string_view body() const { return response_ ? view(response_->body) : std::string_view(); }
    std::optional<std::string_view> header(const char *name) const {
        ef_str value = ef_response_header(response_, name);
        if (!value.ptr) return std::nullopt;
        return view(value);
    }

private:
    const ef_response *response_;
};

// The open transaction.
class Tx {
public:
    explicit Tx(ef_tx *tx) : tx_(tx) {}
    ef_tx *raw() const { return tx_; }

    template <typename... Args>
    void run(const char *statement, const Args &...args) {
        const ef_value values[] = {value(args)..., ef_null()};
        ef_run_values(tx_, statement, values, sizeof...(Args));
    }
    template <typename... Args>
    uint64_t execute(const char *statement, const Args &...args) {
        const ef_value values[] = {value(args)..., ef_null()};
        return ef_execute_values(tx_, statement, values, sizeof...(Args));
    }
    template <typename... Args>
    Rows query(const char *statement, const Args &...args) {
        const ef_value values[] = {value(args)..., ef_null()};
        return Rows(ef_query_values(tx_, statement, values, sizeof...(Args)));
    }
    template <typename... Args>
    Rows query_one(const char *statement, const Args &...args) {
        const ef_value values[] = {value(args)..., ef_null()};
        return Rows(ef_query_one_values(tx_, statement, values, sizeof...(Args)));
    }
    void flush() { ef_flush(tx_); }

    // JSON of values, for new events and requests; see ef_object.
    std::string_view object(std::initializer_list<ef_column> fields) {
        return view(ef_object_values(tx_, fields.begin(), fields.size()));
    }
    Stream load(const Event &cause, const char *aggregate, std::string_view id, uint32_t after = 0) {
        return Stream(ef_load_after(tx_, cause.operator->(), aggregate, str(id), after));
    }
    uint32_t append(const Event &cause, const char *aggregate, std::string_view id, ef_expected expected,
                    std::initializer_list<ef_new_event> events, bool *conflict = nullptr) {
        return ef_append_events(tx_, cause.operator->(), aggregate, str(id), expected, conflict, events.begin(), events.size());
    }
    Response send(const Event &cause, const ef_request_to &request) {
        return Response(ef_send(tx_, cause.operator->(), request));
    }

    void retry(std::string_view message) { ef_retry(tx_, "%.*s", EF_STR(str(message))); }
    void poison(std::string_view message) { ef_poison(tx_, "%.*s", EF_STR(str(message))); }
    void fatal(std::string_view message) { ef_fatal(tx_, "%.*s", EF_STR(str(message))); }
    bool failed() const { return ef_failed(tx_); }

private:
    ef_tx *tx_;
};

// A table that is written by its key; see ef_table.
class Table {
public:
    using Columns = std::initializer_list<ef_column>;

    // The names are literals, as those of a static table.
    template <typename... Names>
    explicit Table(const char *name, Names... key) : key_{key...}, table_{name, key_.data(), key_.size()} {}
    Table(const Table &) = delete;

    void upsert(Tx &tx, std::initializer_list<ef_value> key, Columns columns) const {
        ef_upsert_values(tx.raw(), &table_, key.begin(), key.size(), columns.begin(), columns.size());
    }
    void increment(Tx &tx, std::initializer_list<ef_value> key, Columns columns) const {
        ef_increment_values(tx.raw(), &table_, key.begin(), key.size(), columns.begin(), columns.size());
    }
    void remove(Tx &tx, std::initializer_list<ef_value> key) const {
        ef_delete_values(tx.raw(), &table_, key.begin(), key.size());
    }

private:
    std::vector<const char *> key_;
    ef_table table_;
};

// A handler for `ef_projection::handlers`: {"AccountOpened", eventfabric::handler<opened>}.
template <void (*handle)(Tx &, const Event &)>
void handler(ef_tx *tx, const ef_event *event) {
    Tx of(tx);
    handle(of, Event(event));
}

// What a caller asks: parameters by name, and no value where one was left out; see ef_param.
class Request {
public:
    explicit Request(const ef_request *request) : request_(request) {}
    std::string_view tenant() const { return view(request_->tenant); }
    bool given(const char *name) const { return ef_param_given(request_, name); }
    ef_value raw(const char *name) const { return ef_param(request_, name); }

    std::optional<int64_t> int64(const char *name) const { return get(name, ef_param_int64(request_, name, 0)); }
    std::optional<double> float64(const char *name) const { return get(name, ef_param_float64(request_, name, 0)); }
    std::optional<bool> boolean(const char *name) const { return get(name, ef_param_bool(request_, name, false)); }
    std::optional<std::string_view> text(const char *name) const { return get(name, view(ef_param_text(request_, name))); }
    std::optional<Timestamptz> timestamptz(const char *name) const {
        return get(name, Timestamptz{ef_param_timestamptz(request_, name, 0)});
    }
    std::optional<Date> date(const char *name) const { return get(name, Date{ef_param_date(request_, name, 0)}); }

private:
    template <typename T>
    std::optional<T> get(const char *name, T value) const {
        if (!given(name)) return std::nullopt;
        return value;
    }
    const ef_request *request_;
};

// The function of a query, for `ef_named_query::answer`: {"richest", "Who has most", eventfabric::answer<richest>, …}.
template <Rows (*function)(Tx &, const Request &)>
ef_rows *answer(ef_tx *tx, const ef_request *request) {
    Tx of(tx);
    return function(of, Request(request)).raw();
}

} // namespace eventfabric

#endif
