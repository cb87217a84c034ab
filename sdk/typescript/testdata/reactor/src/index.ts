// A projection that tells other systems.

import { defineProjection, http, t } from '@eventfabric/sdk';

export default defineProjection({
  name: 'ts_reactor',
  mode: 'async',
  migrations: [],
  events: { Registered: t.object({ url: t.string, name: t.string }) },
  on: {
    Registered(event) {
      const { url, name } = event.data;
      const answer = http.post(event, url, { json: { name }, headers: { 'X-SDK': 'typescript' }, timeout: 2_000 });
      const next = answer.errorForStatus().headers.get('x-next');
      if (next) http.delete(event, next).errorForStatus();
    },
  },
});
