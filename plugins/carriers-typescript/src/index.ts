// How many flights each carrier had, by outcome, and the minutes of delay in sum.
//
// Sums do not depend on the order of events, so this projection is asynchronous. There are few
// carriers, and every batch meets the same ones: so a batch is summed up here first, and each
// carrier is written once, in the order of the keys. Workers on different batches then wait for
// each other, but never in a circle.

import { defineProjection, sql, t } from '@eventfabric/sdk';

const flight = t.object({ carrier: t.string });

export default defineProjection({
  name: 'carriers',
  text: 'Flights of each carrier by outcome, and their minutes of delay',
  mode: 'async',
  events: {
    FlightDeparted: flight,
    FlightArrived: t.object({ carrier: t.string, arr_delay: t.integer }),
    FlightDiverted: flight,
    FlightCancelled: flight,
  },
  batch(events, tx) {
    const carriers = new Map<string, Sums>();
    for (const event of events) {
      const { carrier } = event.data;
      let sums = carriers.get(carrier);
      if (!sums) carriers.set(carrier, (sums = new Sums()));
      switch (event.type) {
        case 'FlightDeparted':
          sums.departed += 1;
          break;
        case 'FlightArrived':
          sums.arrived += 1;
          sums.arrDelayMinutes += event.data.arr_delay;
          break;
        case 'FlightDiverted':
          sums.diverted += 1;
          break;
        case 'FlightCancelled':
          sums.cancelled += 1;
          break;
      }
    }
    for (const carrier of [...carriers.keys()].sort()) {
      const { departed, arrived, diverted, cancelled, arrDelayMinutes } = carriers.get(carrier)!;
      tx.run(sql`
        INSERT INTO carriers AS c (carrier, departed, arrived, diverted, cancelled, arr_delay_minutes)
        VALUES (${carrier}, ${departed}, ${arrived}, ${diverted}, ${cancelled}, ${arrDelayMinutes})
        ON CONFLICT (carrier) DO UPDATE SET
          departed = c.departed + EXCLUDED.departed,
          arrived = c.arrived + EXCLUDED.arrived,
          diverted = c.diverted + EXCLUDED.diverted,
          cancelled = c.cancelled + EXCLUDED.cancelled,
          arr_delay_minutes = c.arr_delay_minutes + EXCLUDED.arr_delay_minutes`);
    }
  },
});

/** The sums of one carrier over a batch. */
class Sums {
  departed = 0;
  arrived = 0;
  diverted = 0;
  cancelled = 0;
  arrDelayMinutes = 0;
}
