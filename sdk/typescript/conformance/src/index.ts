// The plugin of the conformance suite: see `sdk/conformance/README.md`.

import { type Event, type Infer, type Tx, config, defineProjection, fatal, log, poison, retry, sql, t, table } from '@eventfabric/sdk';

import { Written, write } from './written.js';

const counters = table('counters', 'area', 'key');
const labels = table('labels', 'key');

const Failed = t.object({ how: t.string });

export default defineProjection({
  name: 'conformance',
  text: 'What every SDK can do',
  mode: 'catch-up',
  migrations: '../../conformance/migrations',
  events: {
    Written,
    Counted: t.object({ n: t.bigint }),
    Priced: t.object({ cents: t.bigint }),
    Noted: t.unknown,
    Incremented: t.object({ area: t.string, key: t.string, by: t.bigint }),
    Labelled: t.object({ key: t.string, label: t.nullable(t.string) }),
    Removed: t.object({ area: t.string, key: t.string }),
    Emptied: t.object({ area: t.string }),
    Summed: t.unknown,
    Repeated: t.object({ text: t.string, times: t.integer }),
    Listed: t.object({ upto: t.bigint }),
    Logged: t.object({ level: t.literal('trace', 'debug', 'info', 'warn', 'error'), text: t.string }),
    Configured: t.object({ key: t.string }),
    Failed,
  },
  upcast: {
    Priced: {
      1: ({ euros, ...rest }) => ({ ...rest, cents: t.integer.parse(euros) * 100 }),
    },
  },
  on: {
    Written: (event, tx) => write(event.data, tx),
    Counted: (event, tx) => number(event, tx, event.data.n),
    Priced(event, tx) {
      tx.run(sql`INSERT INTO prices (position, cents) VALUES (${event.position}, ${event.data.cents})`);
    },
    Noted(event, tx) {
      tx.run(sql`
        INSERT INTO events (position, id, tenant, aggregate, aggregate_id, version, event_type, schema_version,
                            payload, occurred_at, correlation_id, causation_id)
        VALUES (${event.position}, ${event.id}, ${event.tenant}, ${event.aggregate}, ${event.aggregateId}, ${event.version},
                ${event.type}, ${event.schemaVersion}, ${event.payload}, ${event.occurredAt}, ${event.correlationId},
                ${event.causationId})`);
    },
    Incremented(event, tx) {
      const { area, key, by } = event.data;
      counters.increment(tx, { area, key }, { n: by });
      counters.upsert(tx, { area, key }, { last: event.position });
    },
    Labelled: (event, tx) => labels.upsert(tx, { key: event.data.key }, { label: event.data.label }),
    Removed(event, tx) {
      counters.delete(tx, event.data);
      labels.delete(tx, { key: event.data.key });
    },
    Emptied: (event, tx) => tx.run(sql`DELETE FROM counters WHERE area = ${event.data.area}`),
    Summed: (event, tx) => number(event, tx, tx.scalar(sql`SELECT coalesce(sum(n), 0)::bigint FROM counters`, t.bigint)),
    Repeated(event, tx) {
      note(event, tx, event.data.text.repeat(event.data.times));
      const text = tx.scalar(sql`SELECT text FROM notes WHERE position = ${event.position}`, t.string);
      number(event, tx, codePoints(text));
    },
    Listed(event, tx) {
      const rows = tx.query(
        sql`SELECT g, g::text AS t FROM generate_series(1::bigint, ${event.data.upto}) AS g`,
        t.object({ g: t.bigint, t: t.string }),
      );
      number(event, tx, rows.reduce((sum, { g, t }) => sum + g + BigInt(t), 0n));
    },
    Logged: (event) => log[event.data.level](event.data.text),
    Configured: (event, tx) => note(event, tx, config.get(event.data.key) ?? 'not set'),
    Failed: fail,
  },
});

function number({ position }: Event, tx: Tx, n: bigint | number | string) {
  tx.run(sql`INSERT INTO numbers (position, n) VALUES (${position}, ${n})`);
}

function note({ position }: Event, tx: Tx, text: string | null) {
  tx.run(sql`INSERT INTO notes (position, text) VALUES (${position}, ${text})`);
}

/** A loop over ten million characters would take the engine, which interprets, seconds. */
function codePoints(text: string) {
  let count = 0;
  for (let at = 0; at < text.length; at += 65_536) {
    // Of each pair of surrogates one is too many.
    count += text.slice(at, at + 65_536).replace(/[\uDC00-\uDFFF]/g, '').length;
  }
  return count;
}

function fail(event: Event<'Failed', Infer<typeof Failed>>, tx: Tx) {
  const once = (text: string) => sql`INSERT INTO notes (position, text) VALUES (${event.position}, ${text})`;
  switch (event.data.how) {
    case 'poison':
      return poison('by hand');
    case 'retry':
      return retry('by hand');
    case 'fatal':
      return fatal('by hand');
    case 'exception':
      throw new RangeError('unforeseen');
    case 'missing_table':
      return tx.run(sql`INSERT INTO nowhere (n) VALUES (${1})`);
    case 'wrong_count':
      tx.execute(sql.of('INSERT INTO notes (position, text) VALUES ($1, $2)', [event.position]));
      return;
    case 'wrong_type':
      return number(event, tx, 'many');
    case 'null':
      return note(event, tx, null);
    case 'unique':
      tx.run(once('once'));
      return tx.run(once('twice'));
    case 'swallowed':
      tx.execute(once('once'));
      try {
        tx.execute(once('twice'));
      } catch {
        // As if nothing had happened.
      }
      return;
    case 'no_row':
      tx.one(sql`SELECT n FROM numbers WHERE position = -1`);
      return;
    case 'misfit':
      tx.scalar(sql`SELECT 'x'::text AS t`, t.integer);
      return;
    case 'null_read':
      tx.one(sql`SELECT NULL::bigint AS n`, t.object({ n: t.bigint }));
      return;
    case 'denied':
      tx.scalar(sql`SELECT now()`);
      return;
    case 'loop':
      for (;;);
    case 'allocate':
      for (const all = []; ; ) all.push(new Uint8Array(1 << 20));
    default:
      poison(`nobody knows how to fail by \`${event.data.how}\``);
  }
}
