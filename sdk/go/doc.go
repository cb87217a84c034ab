// Package eventfabric is the SDK for projections in Go: WebAssembly components that turn events of
// EventFabric into rows of tables of their own.
//
//	var projection = eventfabric.Projection{
//		Name:       "accounts",
//		Text:       "The balance of each account",
//		Mode:       eventfabric.CatchUp,
//		Migrations: migrations, // an embed.FS with migrations/001_create_accounts.sql
//		Handlers: []eventfabric.Handler{
//			eventfabric.On("AccountOpened", opened),
//		},
//	}
//
//	type AccountOpened struct {
//		Owner string `json:"owner"`
//	}
//
//	func opened(tx *eventfabric.Tx, e eventfabric.Event[AccountOpened]) error {
//		return tx.Run("INSERT INTO accounts (account, owner, cents) VALUES ($1, $2, 0)", e.AggregateID, e.Data.Owner)
//	}
//
//	func init() { eventfabric.Export(projection) }
//
// A plugin can also answer queries ([OnQuery], exported by package queries), answer events with events ([Load], [Append]),
// and tell other systems ([Send]).
//
// Package eventfabrictest runs a projection in `go test`, without a host.
package eventfabric
