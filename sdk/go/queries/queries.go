// Package queries makes a component answer queries. It is a package of its own so that a component without queries
// exports none: the functions that the host calls are linked where this package is imported, and only there.
package queries

import "eventfabric.dev/eventfabric"

// Export makes queries those of this component. Call it once, in an `init` function beside that of
// [eventfabric.Export]. It panics where a query is not well made, in `go test`, too.
func Export(queries ...eventfabric.Query) { eventfabric.ExportQueries(queries...) }
