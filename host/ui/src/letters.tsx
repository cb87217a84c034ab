import { useEffect, useState } from "preact/hooks";
import { api, query } from "./api";
import { Ago, Clamp, confirm, Empty, Fact, Json, num, Panel, short, Sql, Time, Trouble, useLoad } from "./parts";
import type { Event } from "./streams";

type Letter = {
    id: number; projection: string | null; plugin_version: string | null; position: number; topic: string | null; attempts: number; error: string | null; error_class: string | null;
    sqlstate: string | null; failed_sql: string | null; first_failed_at: string | null; dead_lettered_at: string; event_type: string | null; aggregate: string | null; aggregate_id: string | null; version: number | null;
};
type Filter = { projection?: string; error_class?: string; since?: string; from_position?: string; to_position?: string };
const CLASSES: [string, string][] = [["", "every class"], ["poison", "poison: the event was refused"], ["fatal", "fatal: the plugin is wrong"], ["retry", "retry: tried too often"], ["trap", "trap: panic or limit"]];

export function LettersPage({ given }: { given: URLSearchParams }) {
    const [filter, setFilter] = useState<Filter>({ projection: given.get("projection") ?? "" });
    const [before, setBefore] = useState<(number | undefined)[]>([undefined]);
    const [chosen, choose] = useState<Set<number>>(new Set());
    const [open, setOpen] = useState<number | null>(null);
    const projection = given.get("projection") ?? "";
    useEffect(() => { setFilter((old) => ({ ...old, projection })); setBefore([undefined]); }, [projection]);
    const since = filter.since ? new Date(filter.since).toISOString() : undefined;
    const conditions = { ...filter, since };
    const key = query({ ...conditions, before: before.at(-1), limit: 50 });
    const list = useLoad<{ dead_letters: Letter[]; before: number | null }>(key, (signal) => api(`/v1/dead-letters${key}`, { signal }), 5000);
    const rows = list.data?.dead_letters ?? [];
    const change = (part: Filter) => { setFilter({ ...filter, ...part }); setBefore([undefined]); choose(new Set()); setOpen(null); };
    const done = () => { choose(new Set()); setOpen(null); list.reload(); };
    const which = (ids?: number[]) => {
        if (ids) return { ids };
        const body: Record<string, unknown> = {};
        if (filter.projection) body.projection = filter.projection;
        if (filter.error_class) body.error_class = filter.error_class;
        if (since) body.since = since;
        if (filter.from_position) body.from_position = Number(filter.from_position);
        if (filter.to_position) body.to_position = Number(filter.to_position);
        return Object.keys(body).length ? body : { all: true };
    };
    const words = (ids?: number[]) => ids ? ids.length === 1 ? `dead letter ${ids[0]}` : `${num(ids.length)} dead letters` : Object.keys(which()).includes("all") ? "all dead letters of the tenant" : "all dead letters that the filter finds";
    const requeue = (ids?: number[]) => confirm({
        title: `Requeue ${words(ids)}`, verb: "Requeue", done, text: "Each event is handed once more to the projection that failed, and to no other. Mend the cause first: an event that fails again comes back.",
        act: async () => { const { requeued } = await api("/v1/dead-letters/requeue", { body: which(ids) }); return `${num(requeued)} went back to their projections`; },
    });
    const purge = (ids?: number[]) => confirm({
        title: `Purge ${words(ids)}`, verb: "Delete for good", danger: true, done, text: <>They are deleted <b>for good</b>: their projections never get these events. The events stay in the log.</>,
        act: async () => { const { purged } = await api("/v1/dead-letters/purge", { body: which(ids) }); return `${num(purged)} are gone`; },
    });
    const all = rows.length > 0 && rows.every((one) => chosen.has(one.id));
    const ids = rows.filter((one) => chosen.has(one.id)).map((one) => one.id);
    return <>
        <form class="filter" onSubmit={(event) => event.preventDefault()}>
            <label>Projection <input type="search" data-search value={filter.projection ?? ""} onChange={(event) => change({ projection: event.currentTarget.value.trim() })} /></label>
            <label>Class <select value={filter.error_class ?? ""} onChange={(event) => change({ error_class: event.currentTarget.value })}>{CLASSES.map(([value, text]) => <option value={value} key={value}>{text}</option>)}</select></label>
            <label>Given up since <input type="datetime-local" value={filter.since ?? ""} onChange={(event) => change({ since: event.currentTarget.value })} /></label>
            <label>Positions <span><input type="number" min={1} aria-label="From position" placeholder="from" value={filter.from_position ?? ""} onChange={(event) => change({ from_position: event.currentTarget.value })} /> <input type="number" min={1} aria-label="To position" placeholder="to" value={filter.to_position ?? ""} onChange={(event) => change({ to_position: event.currentTarget.value })} /></span></label>
        </form>
        <Trouble error={list.error} />
        <Panel title="Dead letters" aside={<div class="actions">{ids.length > 0 ? <><span>{num(ids.length)} chosen</span><button type="button" class="main" onClick={() => requeue(ids)}>Requeue</button><button type="button" class="danger" onClick={() => purge(ids)}>Purge</button></>
            : <><button type="button" disabled={!rows.length} onClick={() => requeue()}>Requeue all found</button><button type="button" class="danger" disabled={!rows.length} onClick={() => purge()}>Purge all found</button></>}</div>}>
            {list.data && rows.length === 0 ? <Empty>There are none. Every event was handled, or waits for its turn.</Empty> : <div class="scroll"><table><thead><tr><th><input type="checkbox" aria-label="Choose all on this page" checked={all} onChange={() => choose(all ? new Set() : new Set(rows.map((one) => one.id)))} /></th>
                <th>Given up</th><th>Projection</th><th class="wide">Class</th><th class="wide">Event</th><th class="n wide">Position</th><th class="n wide">Attempts</th><th>Error</th></tr></thead>
                <tbody>{rows.map((one) => <tr key={one.id} class={open === one.id ? "open" : ""}><td><input type="checkbox" aria-label={`Choose dead letter ${one.id}`} checked={chosen.has(one.id)} onChange={() => { const next = new Set(chosen); next.has(one.id) ? next.delete(one.id) : next.add(one.id); choose(next); }} /></td>
                    <td><button type="button" class="link" aria-expanded={open === one.id} onClick={() => setOpen(open === one.id ? null : one.id)}><Ago at={one.dead_lettered_at} /></button></td><td>{one.projection ?? "–"}</td><td class="wide"><span class="state bad">{one.error_class ?? "unknown"}</span></td>
                    <td class="wide">{one.event_type ?? "–"}</td><td class="n wide">{num(one.position)}</td><td class="n wide">{one.attempts}</td><td><Clamp>{one.error ?? ""}</Clamp></td></tr>)}</tbody></table></div>}
            {(before.length > 1 || list.data?.before) && <div class="pages" role="group" aria-label="Which rows"><button type="button" disabled={before.length < 2} onClick={() => setBefore(before.slice(0, -1))}>Newer</button><button type="button" disabled={!list.data?.before} onClick={() => setBefore([...before, list.data!.before!])}>Older</button></div>}
        </Panel>
        {open !== null && <Opened id={open} requeue={() => requeue([open])} purge={() => purge([open])} />}
    </>;
}

function Opened({ id, requeue, purge }: { id: number; requeue: () => void; purge: () => void }) {
    const one = useLoad<{ dead_letter: Letter; event: Event | null }>(`letter ${id}`, (signal) => api(`/v1/dead-letters/${id}`, { signal, exact: true }));
    if (!one.data) return <Trouble error={one.error} />;
    const { dead_letter: letter, event } = one.data;
    return <Panel id="opened" title={`Dead letter ${id}`} aside={<div class="actions"><button type="button" class="main" onClick={requeue}>Requeue</button><button type="button" class="danger" onClick={purge}>Purge</button></div>}>
        <div class="three">
            <div><h3>Event</h3>{event ? <><p><a href={`#/streams/${encodeURIComponent(event.aggregate)}/${encodeURIComponent(event.id)}?v=${event.version}`}>{event.aggregate}/{event.id}</a> version {event.version} · <a href={`#/graph/${event.event_id}`}>causes and effects</a></p><Json of={event.payload} /></> : <Empty>It is no longer in the log.</Empty>}</div>
            <div><h3>Error</h3><p class="error">{letter.error ?? "It does not say."}</p><dl class="facts plain"><Fact name="Projection">{letter.projection ? <a href={`#/projections/${encodeURIComponent(letter.projection)}`}>{letter.projection}</a> : "–"}</Fact><Fact name="Version">{short(letter.plugin_version)}</Fact><Fact name="Attempts">{letter.attempts}</Fact>{letter.first_failed_at && <Fact name="First failed"><Time at={letter.first_failed_at} /></Fact>}<Fact name="Given up"><Time at={letter.dead_lettered_at} /></Fact>{letter.sqlstate && <Fact name="SQLSTATE"><code>{letter.sqlstate}</code></Fact>}</dl></div>
            <div><h3>SQL</h3>{letter.failed_sql ? <Sql of={letter.failed_sql} /> : <Empty>No statement failed.</Empty>}</div>
        </div></Panel>;
}
