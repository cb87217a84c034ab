package queries

import _ "eventfabric.dev/eventfabric/internal/wit/query_exports" // the functions that the host calls
