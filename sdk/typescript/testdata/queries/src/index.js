// A projection that answers queries, in plain JavaScript.

import { defineProjection, poison, query, sql, t } from '@eventfabric/sdk';

const parameters = /** @type {const} */ ({
  flag: 'boolean?',
  int: 'int64?',
  float: 'float64?',
  num: 'numeric?',
  text: 'text?',
  id: 'uuid?',
  at: 'timestamptz?',
  day: 'date?',
});

export default defineProjection({
  name: 'ts_queries',
  mode: 'catch-up',
  events: { AccountOpened: t.object({ cents: t.bigint, rate: t.string }) },
  on: {
    AccountOpened(event, tx) {
      const { cents, rate } = event.data;
      tx.run(sql`INSERT INTO accounts VALUES (${event.aggregateId}, ${event.tenant}, ${cents}, ${rate}, ${event.occurredAt})`);
    },
  },
  queries: {
    richest: query(
      {
        text: 'The accounts with the most on them',
        params: { least: { type: 'int64', text: 'Cents, at least' }, limit: { type: 'int64?', text: 'How many accounts, at most' } },
      },
      (tx, { least, limit }) =>
        tx.query(sql`SELECT id, cents, rate, opened FROM accounts WHERE cents >= ${least} ORDER BY cents DESC LIMIT ${limit ?? 10}`),
    ),
    own: query({ text: 'How many accounts a tenant has', perTenant: true }, (tx, _, tenant) =>
      tx.query(sql`SELECT count(*) AS n FROM accounts WHERE tenant = ${tenant}`),
    ),
    echo: query({ text: 'The parameters, as they came', params: parameters }, (_, given) => [
      Object.fromEntries(Object.keys(parameters).map((name) => [name, given[/** @type {keyof typeof parameters} */ (name)] ?? null])),
    ]),
    write: query({ text: 'What is denied' }, (tx) => tx.query(sql`DELETE FROM accounts RETURNING id`)),
    refuse: query({ text: 'What makes no sense', params: { why: 'text' } }, (_, { why }) => poison(`refused: ${why}`)),
    throws: query({ text: 'What nobody foresaw' }, () => {
      throw new RangeError('unforeseen');
    }),
  },
});
