// Appends, and projects what was appended, by @event-driven-io/emmett-postgresql. Prints JSON.
//
//   node emmett.mjs append CALLERS EVENTS SECONDS     { "rate": commits a second }
//   node emmett.mjs project EVENTS.ndjson each|batch  { "rate": events a second, "departed": … }
//
// DATABASE_URL names the database.

import { readFileSync } from 'node:fs';
import { SQL } from '@event-driven-io/dumbo';
import {
  getPostgreSQLEventStore,
  postgreSQLEventStoreConsumer,
  postgreSQLRawBatchSQLProjection,
  postgreSQLRawSQLProjection,
} from '@event-driven-io/emmett-postgresql';
import pg from 'pg';

const url = process.env.DATABASE_URL;
const [verb, ...rest] = process.argv.slice(2);

const flight = {
  carrier: 'UA', flight: 1545, origin: 'EWR', dest: 'IAH',
  scheduled: '2013-01-01T10:15:00Z', dep_delay: 2, distance: 1400,
};

async function append([callers, events, seconds]) {
  const store = getPostgreSQLEventStore(url);
  const batch = Array.from({ length: Number(events) }, () => ({ type: 'FlightDeparted', data: flight }));
  const one = async (caller) => {
    const stream = `aircraft-${caller}-${process.pid}`;
    // The first one makes the schema and opens the connection.
    let version = (await store.appendToStream(stream, batch)).nextExpectedStreamVersion;
    const start = performance.now();
    let done = 0;
    while (performance.now() - start < seconds * 1000) {
      const expected = { expectedStreamVersion: version };
      version = (await store.appendToStream(stream, batch, expected)).nextExpectedStreamVersion;
      done += 1;
    }
    return (done * 1000) / (performance.now() - start);
  };
  await store.appendToStream(`aircraft-first-${process.pid}`, batch);
  const rates = await Promise.all(Array.from({ length: Number(callers) }, (_, n) => one(n)));
  await store.close();
  return { rate: rates.reduce((sum, rate) => sum + rate, 0) };
}

const kinds = ['FlightDeparted', 'FlightArrived', 'FlightDiverted', 'FlightCancelled'];

function upsert({ type, data }) {
  const of = (kind) => (type === kind ? 1 : 0);
  return SQL`
    INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
    VALUES (${data.carrier}, ${of(kinds[0])}, ${of(kinds[1])}, ${of(kinds[2])}, ${of(kinds[3])},
            ${type === 'FlightArrived' ? data.arr_delay : 0})
    ON CONFLICT (carrier) DO UPDATE SET
        departed = c.departed + EXCLUDED.departed,
        arrived = c.arrived + EXCLUDED.arrived,
        diverted = c.diverted + EXCLUDED.diverted,
        cancelled = c.cancelled + EXCLUDED.cancelled,
        arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes`;
}

async function project([file, way]) {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`
    CREATE TABLE IF NOT EXISTS carriers (
      carrier text PRIMARY KEY, departed bigint NOT NULL, arrived bigint NOT NULL,
      diverted bigint NOT NULL, cancelled bigint NOT NULL, arr_delay_minutes bigint NOT NULL)`);
  const store = getPostgreSQLEventStore(url);
  const streams = new Map();
  for (const { id, type, payload } of lines) {
    if (!streams.has(id)) streams.set(id, []);
    streams.get(id).push({ type, data: payload });
  }
  for (const [id, events] of streams) await store.appendToStream(`aircraft-${id}`, events);
  const projection = way === 'batch'
    ? postgreSQLRawBatchSQLProjection({ name: 'carriers', canHandle: kinds, evolve: (events) => events.map(upsert) })
    : postgreSQLRawSQLProjection({ name: 'carriers', canHandle: kinds, evolve: upsert });
  const consumer = postgreSQLEventStoreConsumer({
    connectionString: url,
    stopWhen: { noMessagesLeft: true },
    pulling: { batchSize: 500 },
  });
  consumer.projector({ projection, processorId: 'carriers' });
  const start = performance.now();
  await consumer.start();
  const time = (performance.now() - start) / 1000;
  const { rows } = await client.query('SELECT sum(departed)::int AS departed FROM carriers');
  await Promise.allSettled([consumer.close(), store.close(), client.end()]);
  return { rate: lines.length / time, departed: rows[0].departed };
}

const answer = await { append, project }[verb](rest);
console.log(JSON.stringify(answer));
process.exit(0);
