// Package export_wit_world is what the generated exports call.
package export_wit_world

import (
	sql "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_sql"
	types "eventfabric.dev/eventfabric/internal/wit/eventfabric_projection_types"
	wit "eventfabric.dev/eventfabric/internal/witpkg/types"
)

// Describe and Handle are set before the host calls anything.
var (
	Describe func() types.Description
	Handle   func(tx *sql.Tx, events []types.Event) wit.Result[wit.Unit, types.Failure]
)
