// The balance of each account.

import { type Event, type Tx, defineProjection, poison, sql, t } from '@eventfabric/sdk';

const money = t.object({ cents: t.integer });

export default defineProjection({
  name: '{{name}}',
  text: 'The balance of each account',
  mode: 'catch-up',
  // What happens to an account. A payload that is not like this is refused, and named.
  events: {
    AccountOpened: t.object({ owner: t.string }),
    MoneyDeposited: money,
    MoneyWithdrawn: money,
  },
  on: {
    AccountOpened(event, tx) {
      tx.run(sql`INSERT INTO accounts (account, owner, cents) VALUES (${event.aggregateId}, ${event.data.owner}, 0)`);
    },
    MoneyDeposited(event, tx) {
      book(tx, event, event.data.cents);
    },
    MoneyWithdrawn(event, tx) {
      book(tx, event, -event.data.cents);
    },
  },
});

function book(tx: Tx, event: Event, cents: number) {
  const changed = tx.execute(sql`UPDATE accounts SET cents = cents + ${cents} WHERE account = ${event.aggregateId}`);
  if (changed === 0) {
    // It can never be handled: the projection stops at it, or sets it aside, as its operator says.
    poison(`there is no account ${event.aggregateId}`);
  }
}
