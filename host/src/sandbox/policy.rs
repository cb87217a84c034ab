//! The lists: which nodes, functions and types may stand in a plugin's SQL. Whatever is on no list
//! is denied.

/// Counts changes of these lists, and of how functions are made. Statements judged by another version are
/// judged again.
pub(super) const VERSION: i32 = 7;

/// The first object id that is not PostgreSQL's own (`FirstNormalObjectId`).
pub(super) const FIRST_FOREIGN_OID: u32 = 16384;

/// `nextval(regclass)`: allowed in defaults of columns, for sequences of the plugin.
pub(super) const NEXTVAL: u32 = 1574;

/// `regclass`, the type of its argument.
pub(super) const REGCLASS: u32 = 2205;

/// Types that look into the catalogue: regproc, regprocedure, regoper, regoperator, regclass,
/// regtype, regrole, regnamespace, regcollation, regdictionary, aclitem. (regconfig names a text
/// search configuration and is allowed.) `sql/forbidden.sql` has the same list for columns.
pub(super) const CATALOGUE_TYPES: &[u32] =
    &[24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 4191, 3769, 1033];

/// Types that read a clock out of text such as `now`: date, time, timestamp, timestamptz, timetz.
pub(super) const CLOCK_TYPES: &[u32] = &[1082, 1083, 1114, 1184, 1266];

/// Texts that such a type takes for the time of day.
pub(super) const CLOCK_TEXTS: &[&str] = &["now", "today", "tomorrow", "yesterday"];

/// Types of nodes that are understood, in the names of PostgreSQL 14 to 15 and of 16 and newer.
const NODES: &[&str] = &[
    "ALIAS",
    "AGGREF",
    "ARRAY",
    "ARRAYCOERCEEXPR",
    "ARRAYEXPR",
    "BOOLEANTEST",
    "BOOLEXPR",
    "CASE",
    "CASEEXPR",
    "CASETESTEXPR",
    "CASEWHEN",
    "COALESCE",
    "COALESCEEXPR",
    "COERCEVIAIO",
    "COLLATE",
    "COLLATEEXPR",
    "COMMONTABLEEXPR",
    "CONST",
    "CONVERTROWTYPEEXPR",
    "CTECYCLECLAUSE",
    "CTESEARCHCLAUSE",
    "DISTINCTEXPR",
    "FIELDSELECT",
    "FIELDSTORE",
    "FROMEXPR",
    "FUNCEXPR",
    "GROUPINGFUNC",
    "GROUPINGSET",
    "INFERENCEELEM",
    "JOINEXPR",
    "JSONCONSTRUCTOREXPR",
    "JSONFORMAT",
    "JSONISPREDICATE",
    "JSONRETURNING",
    "JSONVALUEEXPR",
    "MERGEACTION",
    "MERGESUPPORTFUNC",
    "MINMAX",
    "MINMAXEXPR",
    "NAMEDARGEXPR",
    "NULLIFEXPR",
    "NULLTEST",
    "ONCONFLICTEXPR",
    "OPEXPR",
    "PARAM",
    "QUERY",
    "RANGETBLENTRY",
    "RANGETBLFUNCTION",
    "RANGETBLREF",
    "RELABELTYPE",
    "ROW",
    "ROWCOMPARE",
    "ROWCOMPAREEXPR",
    "ROWEXPR",
    "ROWMARKCLAUSE",
    "RTEPERMISSIONINFO",
    "SCALARARRAYOPEXPR",
    "SETOPERATIONSTMT",
    "SETTODEFAULT",
    "SORTGROUPCLAUSE",
    "SUBLINK",
    "SUBSCRIPTINGREF",
    "TARGETENTRY",
    "VAR",
    "WHEN",
    "WINDOWCLAUSE",
    "WINDOWFUNC",
];

/// Why a node may not stand in a statement; none where it may.
pub(super) fn node_denied(name: &str) -> Option<String> {
    if NODES.contains(&name) {
        return None;
    }
    Some(match name {
        "SQLVALUEFUNCTION" => {
            "CURRENT_TIMESTAMP, CURRENT_DATE, CURRENT_USER and their like are not \
                               available: take the time from the event"
                .to_owned()
        }
        "NEXTVALUEEXPR" => "sequences are for the defaults of columns only".to_owned(),
        "TABLESAMPLECLAUSE" => "TABLESAMPLE gives other rows each time".to_owned(),
        "CURRENTOFEXPR" => "there are no cursors".to_owned(),
        "XMLEXPR" | "TABLEFUNC" => {
            "XML expressions and XMLTABLE or JSON_TABLE are not allowed".to_owned()
        }
        other => format!("the sandbox does not know expressions of the kind {other}"),
    })
}

/// Functions of `pg_catalog` that PostgreSQL marks stable and that give the same answer for the
/// same rows, since the host fixes time zone, date style and language of its connections.
const STABLE: &[&str] = &[
    "anytextcat",
    "array_to_json",
    "array_to_string",
    "concat",
    "concat_ws",
    "convert",
    "convert_from",
    "convert_to",
    "date",
    "date_add",
    "date_cmp_timestamptz",
    "date_eq_timestamptz",
    "date_ge_timestamptz",
    "date_gt_timestamptz",
    "date_le_timestamptz",
    "date_lt_timestamptz",
    "date_ne_timestamptz",
    "date_part",
    "date_subtract",
    "date_trunc",
    "enum_first",
    "enum_last",
    "enum_range",
    "extract",
    "format",
    "generate_series",
    "in_range",
    "interval_pl_timestamptz",
    "json_agg",
    "json_agg_strict",
    "json_build_array",
    "json_build_object",
    "json_object_agg",
    "json_object_agg_strict",
    "json_object_agg_unique",
    "json_object_agg_unique_strict",
    "json_populate_record",
    "json_populate_recordset",
    "json_to_record",
    "json_to_recordset",
    "json_to_tsvector",
    "jsonb_agg",
    "jsonb_agg_strict",
    "jsonb_build_array",
    "jsonb_build_object",
    "jsonb_object_agg",
    "jsonb_object_agg_strict",
    "jsonb_object_agg_unique",
    "jsonb_object_agg_unique_strict",
    "jsonb_path_exists_tz",
    "jsonb_path_match_tz",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first_tz",
    "jsonb_path_query_tz",
    "jsonb_populate_record",
    "jsonb_populate_recordset",
    "jsonb_to_record",
    "jsonb_to_recordset",
    "jsonb_to_tsvector",
    "length",
    "make_timestamptz",
    "overlaps",
    "phraseto_tsquery",
    "plainto_tsquery",
    "quote_literal",
    "quote_nullable",
    "row_to_json",
    "textanycat",
    "time",
    "timestamp",
    "timestamp_cmp_timestamptz",
    "timestamp_eq_timestamptz",
    "timestamp_ge_timestamptz",
    "timestamp_gt_timestamptz",
    "timestamp_le_timestamptz",
    "timestamp_lt_timestamptz",
    "timestamp_ne_timestamptz",
    "timestamptz",
    "timestamptz_cmp_date",
    "timestamptz_cmp_timestamp",
    "timestamptz_eq_date",
    "timestamptz_eq_timestamp",
    "timestamptz_ge_date",
    "timestamptz_ge_timestamp",
    "timestamptz_gt_date",
    "timestamptz_gt_timestamp",
    "timestamptz_le_date",
    "timestamptz_le_timestamp",
    "timestamptz_lt_date",
    "timestamptz_lt_timestamp",
    "timestamptz_mi_interval",
    "timestamptz_ne_date",
    "timestamptz_ne_timestamp",
    "timestamptz_pl_interval",
    "timetz",
    "timezone",
    "to_char",
    "to_date",
    "to_json",
    "to_jsonb",
    "to_number",
    "to_timestamp",
    "to_tsquery",
    "to_tsvector",
    "ts_headline",
    "websearch_to_tsquery",
];

/// Immutable functions that are none of a plugin's business.
const DENIED: &[&str] = &[
    "querytree",
    "ts_rewrite",
    "makeaclitem",
    // Opens any relation, by its object id.
    "satisfies_hash_partition",
    // Names roles.
    "acldefault",
    "postgresql_fdw_validator",
];

/// Why a function may not be called; none where it may.
pub(super) fn function_denied(name: &str, volatility: &str) -> Option<&'static str> {
    match volatility {
        "i" if DENIED.contains(&name) || name.starts_with("pg_") => {
            Some("it looks into the server")
        }
        "i" => None,
        "s" if STABLE.contains(&name) => None,
        "s" if matches!(name, "now" | "transaction_timestamp" | "statement_timestamp") => {
            Some("the clock is not available: take the time from the event")
        }
        "s" => Some("its answer depends on the time, the settings or the catalogue of the server"),
        _ => match name {
            "clock_timestamp" | "timeofday" => {
                Some("the clock is not available: take the time from the event")
            }
            "random" | "gen_random_uuid" => {
                Some("chance is not available: derive the value from the event")
            }
            "nextval" | "currval" | "setval" | "lastval" => {
                Some("sequences are for the defaults of columns only")
            }
            _ => Some("it has effects, or gives another answer each time"),
        },
    }
}

/// Why a query may not group so; none where it may. `kinds` are PostgreSQL's numbers of the grouping
/// sets. The sets of a CUBE double with each column, and several clauses multiply: thousands of them
/// keep a server busy for minutes, in which it does not look whether it was cancelled.
pub(super) fn grouping_denied(kinds: &[u32]) -> Option<&'static str> {
    if kinds.contains(&3) {
        return Some("CUBE is not allowed: name the GROUPING SETS one by one");
    }
    let clauses = kinds.iter().filter(|kind| matches!(kind, 2 | 4)).count();
    (clauses > 1).then_some("only one ROLLUP or GROUPING SETS is allowed in a statement")
}

/// Why a system column may not be read; none where it may. `ctid` finds a row again within one
/// statement, and `xmax = 0` tells an upsert that inserted; the others differ from run to run.
pub(super) fn system_column_denied(number: i32) -> Option<&'static str> {
    match number {
        -1 | -4 => None,
        -2 => Some("xmin"),
        -3 => Some("cmin"),
        -5 => Some("cmax"),
        -6 => Some("tableoid"),
        _ => Some("an unknown system column"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_no_list_is_denied() {
        assert!(function_denied("now", "s").is_some());
        assert!(function_denied("current_setting", "s").is_some());
        assert!(function_denied("query_to_xml", "v").is_some());
        assert!(function_denied("pg_size_pretty", "i").is_some());
        assert!(function_denied("lower", "i").is_none());
        assert!(function_denied("to_char", "s").is_none());
        assert!(node_denied("SOMETHINGNEW").is_some());
        assert!(node_denied("OPEXPR").is_none());
    }
}
