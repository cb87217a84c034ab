// From a cause to all its effects: who names whom as its cause.
import { api, query, seg } from "./api";
import { Empty, Json, num, Panel, Time, Trouble, useLoad } from "./parts";
import type { Event } from "./streams";

/** More would be no picture. */
const MOST = 250;
const WIDTH = 190, HEIGHT = 44, GAP_X = 40, GAP_Y = 12;
type Found = { events: Event[]; more: boolean };
type Graph = { events: Event[]; more: boolean };

async function gather(id: string | null, correlation: string | null, signal: AbortSignal): Promise<Graph> {
    const all = new Map<string, Event>();
    let more = false;
    const find = async (values: Record<string, string | number>) => {
        const found = await api<Found>(`/v1/events/query${query({ ...values, limit: MOST })}`, { signal, exact: true });
        more ||= found.more;
        return found.events;
    };
    const keep = (events: Event[]) => { const fresh = events.filter((one) => !all.has(one.event_id)); for (const one of fresh) all.size < MOST ? all.set(one.event_id, one) : (more = true); return fresh; };
    if (correlation) keep(await find({ correlation_id: correlation }));
    if (id) {
        const start = keep(await find({ event_id: id }));
        // Up to the first cause that is an event, and then down to all effects.
        let cause = start[0]?.causation_id;
        for (let steps = 0; cause && /^[0-9a-f-]{36}$/i.test(cause) && steps < 50; steps++) {
            const found: Event[] = keep(await find({ event_id: cause }));
            cause = found[0]?.causation_id;
        }
        if (start[0]?.correlation_id) keep(await find({ correlation_id: start[0].correlation_id }));
    }
    let edge = [...all.values()];
    let asked = 0;
    const known = new Set<string>();
    while (edge.length && asked < 120 && all.size < MOST) {
        const next: Event[] = [];
        for (let at = 0; at < edge.length && asked < 120; at += 6) {
            const some = edge.slice(at, at + 6).filter((one) => !known.has(one.event_id));
            some.forEach((one) => known.add(one.event_id));
            asked += some.length;
            for (const found of await Promise.all(some.map((one) => find({ causation_id: one.event_id })))) next.push(...keep(found));
        }
        edge = next;
    }
    if (asked >= 120 && edge.length) more = true;
    return { events: [...all.values()].sort((a, b) => a.position - b.position), more };
}

export function GraphPage({ id, given }: { id: string | null; given: URLSearchParams }) {
    const correlation = given.get("correlation");
    const key = `${id ?? ""} ${correlation ?? ""}`;
    const graph = useLoad<Graph>(key, (signal) => gather(id, correlation, signal));
    const events = graph.data?.events ?? [];
    const asked = events.find((one) => one.event_id === id);
    return <>
        <div class="title"><h1>Causes and effects</h1><span class="faint">{correlation ? `of ${correlation}` : id}</span></div>
        <Trouble error={graph.error} />{graph.loading && <Empty>Looking…</Empty>}
        {graph.data && events.length === 0 && <Empty>No event of this tenant has this id.</Empty>}
        {events.length > 0 && <Panel title={<>{num(events.length)} {events.length === 1 ? "event" : "events"}</>} aside={graph.data!.more && <span class="state warn">there are more; these are the first</span>}><Picture events={events} asked={id} /></Panel>}
        {asked && <Panel title={asked.type} aside={<a href={`#/streams/${seg(asked.aggregate)}/${seg(asked.id)}?v=${asked.version}`}>{asked.aggregate}/{asked.id} version {asked.version}</a>}><Json of={asked.payload} /></Panel>}
        {events.length > 0 && <Panel title="In the order of the log"><div class="scroll"><table><thead><tr><th class="n wide">Position</th><th>Type</th><th>Stream</th><th>Happened</th></tr></thead><tbody>{events.map((one) => <tr key={one.event_id} class={one.event_id === id ? "open" : ""}><td class="n wide">{num(one.position)}</td><td><a href={`#/graph/${one.event_id}`}>{one.type}</a></td><td><a href={`#/streams/${seg(one.aggregate)}/${seg(one.id)}?v=${one.version}`}>{one.aggregate}/{one.id}</a></td><td><Time at={one.occurred_at} /></td></tr>)}</tbody></table></div></Panel>}
    </>;
}

function Picture({ events, asked }: { events: Event[]; asked: string | null }) {
    const known = new Map(events.map((one) => [one.event_id, one]));
    const effects = new Map<string, Event[]>();
    const roots: Event[] = [];
    for (const one of events) {
        const cause = one.causation_id && known.has(one.causation_id) && one.causation_id !== one.event_id ? one.causation_id : null;
        if (cause) effects.set(cause, [...(effects.get(cause) ?? []), one]); else roots.push(one);
    }
    const places = new Map<string, { x: number; y: number }>();
    let row = 0, deepest = 0;
    // Each cause stands beside the middle of its effects; an event that is caused in a circle is placed once.
    const place = (one: Event, depth: number): number => {
        const seen = places.get(one.event_id);
        if (seen) return seen.y;
        const spot = { x: depth * (WIDTH + GAP_X), y: 0 };
        places.set(one.event_id, spot);
        deepest = Math.max(deepest, depth);
        const below = (effects.get(one.event_id) ?? []).filter((effect) => !places.has(effect.event_id)).map((effect) => place(effect, depth + 1));
        spot.y = below.length ? (below[0] + below[below.length - 1]) / 2 : row++ * (HEIGHT + GAP_Y);
        return spot.y;
    };
    for (const one of [...roots, ...events]) place(one, 0);
    const width = (deepest + 1) * (WIDTH + GAP_X) - GAP_X + 2, height = Math.max(1, row) * (HEIGHT + GAP_Y) - GAP_Y + 2;
    const cut = (text: string, most: number) => text.length > most ? `${text.slice(0, most - 1)}…` : text;
    return <div class="scroll picture" tabIndex={0}><svg width={width} height={height} viewBox={`-1 -1 ${width} ${height}`} role="group" aria-label="Which event has caused which">
        {events.map((one) => { const to = places.get(one.event_id)!, from = one.causation_id ? places.get(one.causation_id) : undefined; return from && from !== to && <path key={one.event_id} class="edge" d={`M${from.x + WIDTH},${from.y + HEIGHT / 2} C${from.x + WIDTH + GAP_X / 2},${from.y + HEIGHT / 2} ${to.x - GAP_X / 2},${to.y + HEIGHT / 2} ${to.x},${to.y + HEIGHT / 2}`} />; })}
        {events.map((one) => { const { x, y } = places.get(one.event_id)!; return <a key={one.event_id} href={`#/graph/${one.event_id}`} aria-label={`${one.type} of ${one.aggregate}/${one.id}, position ${one.position}`}><g class={`node ${one.event_id === asked ? "asked" : ""}`} transform={`translate(${x},${y})`}><rect width={WIDTH} height={HEIGHT} rx="5" /><text x="9" y="18" class="type">{cut(one.type, 25)}</text><text x="9" y="34">{cut(`${one.aggregate}/${one.id}`, 28)}</text></g></a>; })}</svg></div>;
}
