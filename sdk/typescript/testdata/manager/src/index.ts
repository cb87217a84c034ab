// A projection that answers events with events.

import { Conflict, aggregate, defineProjection, fatal, t } from '@eventfabric/sdk';

const cents = t.object({ cents: t.bigint });
const accounts = aggregate('Account', { events: { AccountOpened: cents, MoneyWithdrawn: cents } });
const refusals = aggregate<{ WithdrawalRefused: { asked: bigint; has: bigint } }>('Refusal');

export default defineProjection({
  name: 'ts_manager',
  mode: 'catch-up',
  migrations: [],
  events: { WithdrawalAsked: t.object({ account: t.string, cents: t.bigint }) },
  on: {
    WithdrawalAsked(event, tx) {
      const account = accounts.load(tx, event, event.data.account);
      let balance = 0n;
      for (const { type, data } of account.events) balance += type === 'AccountOpened' ? data.cents : -data.cents;
      try {
        const stale = { expected: account.version + 1 };
        accounts.append(tx, event, account.id, { type: 'MoneyWithdrawn', data: { cents: 0n } }, stale);
        fatal('no conflict');
      } catch (error) {
        // It leaves the transaction usable.
        if (!(error instanceof Conflict && error.version === account.version)) throw error;
      }
      const asked = event.data.cents;
      if (balance >= asked) account.append({ type: 'MoneyWithdrawn', data: { cents: asked } });
      else refusals.append(tx, event, event.aggregateId, { type: 'WithdrawalRefused', data: { asked, has: balance }, topic: 'mail' }, { expected: 0 });
    },
  },
});
