// Package export_eventfabric_query_queries is what the generated exports of queries call.
package export_eventfabric_query_queries

import (
	sql "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_sql"
	types "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_types"
	query "eventfabric.dev/eventfabric/internal/wit/eventfabric_query_queries"
	wit "eventfabric.dev/eventfabric/internal/witpkg/types"
)

// DescribeQueries and Query are set before the host calls anything.
var (
	DescribeQueries func() []query.QueryDescription
	Query           func(tx *sql.Tx, request query.Request) wit.Result[sql.RowSet, types.Failure]
)
