import { Fragment } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { api, follow, parse, query, seg } from "./api";
import { Ago, Empty, Fact, Json, Kinds, num, Panel, Time, Trouble, useLoad } from "./parts";

export type Event = {
    position: number; event_id: string; tenant: string; aggregate: string; id: string; version: number; type: string; schema_version: number; payload: unknown;
    occurred_at: string; correlation_id?: string; causation_id?: string; dismissed_at?: string;
};
const PAGE = 50;

export function StreamsPage({ given }: { given: URLSearchParams }) {
    const kinds = useLoad<{ aggregates: string[] }>("kinds", (signal) => api("/v1/streams", { signal }));
    const [begins, setBegins] = useState("");
    const [after, setAfter] = useState<string[]>([]);
    const aggregate = given.get("aggregate") ?? kinds.data?.aggregates[0] ?? "";
    useEffect(() => setAfter([]), [aggregate]);
    const key = aggregate ? query({ aggregate, begins, after: after.at(-1), limit: 25 }) : null;
    const found = useLoad<{ streams: { aggregate: string; id: string; version: number; updated_at: string }[]; after: string | null }>(key, (signal) => api(`/v1/streams${key}`, { signal }));
    const [go, setGo] = useState("");
    return <>
        <form class="filter" onSubmit={(event) => { event.preventDefault(); const text = go.trim(); if (/^[0-9a-f-]{36}$/i.test(text)) location.hash = `#/graph/${text}`; else if (text.includes("/")) { const at = text.indexOf("/"); location.hash = `#/streams/${seg(text.slice(0, at))}/${seg(text.slice(at + 1))}`; } else if (text) location.hash = `#/graph?correlation=${seg(text)}`; }}>
            <label class="grow">Go to <input type="search" data-search value={go} placeholder="AGGREGATE/ID, the id of an event, or a correlation id" onInput={(event) => setGo(event.currentTarget.value)} /></label><button type="submit" class="main">Go</button>
        </form>
        <Trouble error={kinds.error} />
        <div class="side">
            <Panel title="Aggregates"><Kinds all={kinds.data?.aggregates ?? []} chosen={aggregate} to={(one) => `#/streams?aggregate=${seg(one)}`} what="aggregates" />{kinds.data?.aggregates.length === 0 && <Empty>The tenant has no events.</Empty>}</Panel>
            <Panel title={aggregate || "Streams"} aside={aggregate && <input type="search" aria-label="How the id begins" placeholder="how the id begins" value={begins} onChange={(event) => { setBegins(event.currentTarget.value.trim()); setAfter([]); }} />}>
                <Trouble error={found.error} />
                {found.data?.streams.length === 0 && <Empty>None.</Empty>}
                <div class="scroll"><table><thead><tr><th>Stream</th><th class="n">Version</th><th>Appended to</th></tr></thead><tbody>{(found.data?.streams ?? []).map((one) => <tr key={one.id}><td><a href={`#/streams/${seg(one.aggregate)}/${seg(one.id)}`}>{one.id}</a></td><td class="n">{num(one.version)}</td><td><Ago at={one.updated_at} /></td></tr>)}</tbody></table></div>
                {(after.length > 0 || found.data?.after) && <div class="pages" role="group" aria-label="Which rows"><button type="button" disabled={!after.length} onClick={() => setAfter(after.slice(0, -1))}>Previous</button><button type="button" disabled={!found.data?.after} onClick={() => setAfter([...after, found.data!.after!])}>Next</button></div>}
            </Panel>
        </div>
        <Tail />
    </>;
}

/** The log as it grows. */
function Tail() {
    const [on, setOn] = useState(false);
    const [live, setLive] = useState(false);
    const [events, setEvents] = useState<Event[]>([]);
    const [passed, setPassed] = useState(0);
    const waiting = useRef<string[]>([]);
    useEffect(() => {
        if (!on) return;
        const stop = new AbortController();
        let come = 0;
        // A log may grow fast: the page is drawn some times a second, and only what it shows is read.
        const draw = setInterval(() => {
            const fresh: Event[] = waiting.current.splice(0).map((text) => parse(text, true)).reverse();
            if (fresh.length) { setPassed((n) => n + come); come = 0; setEvents((old) => [...fresh, ...old].slice(0, PAGE)); }
        }, 300);
        const take = (text: string) => { come++; waiting.current.push(text); if (waiting.current.length > PAGE) waiting.current.shift(); };
        void (async () => {
            try {
                // A position beyond the end: the page answers where the log ends, and reads nothing.
                const { head } = await api<{ head: number }>("/v1/events?after=9007199254740991&limit=1", { signal: stop.signal });
                await follow(`/v1/events/subscribe${query({ after: head })}`, take, stop.signal, setLive);
            } catch { setLive(false); }
        })();
        return () => { stop.abort(); clearInterval(draw); };
    }, [on]);
    return <Panel title="The log, as it grows" aside={<>{on && <span class={`state ${live ? "good" : "quiet"}`}>{live ? "live" : "not connected"}</span>} {passed > 0 && <span>{num(passed)} passed</span>} <button type="button" aria-pressed={on} onClick={() => setOn(!on)}>{on ? "Stop" : "Follow"}</button></>}>
        {events.length === 0 ? <Empty>{on ? "Waiting for the next event." : "Follow shows events as they come."}</Empty> : <Events all={events} stream />}</Panel>;
}

function Events({ all, stream, open }: { all: Event[]; stream?: boolean; open?: number }) {
    const [shown, show] = useState<number | null>(open ?? null);
    return <div class="scroll"><table><thead><tr>{!stream && <th class="n">Version</th>}<th class="n wide">Position</th><th>Type</th>{stream && <th>Stream</th>}<th>Happened</th><th class="wide">Causes</th></tr></thead>
        <tbody>{all.map((one) => <Fragment key={one.position}>
            <tr class={shown === one.position ? "open" : ""}>{!stream && <td class="n">{one.version}</td>}<td class="n wide">{num(one.position)}</td>
                <td><button type="button" class="link" aria-expanded={shown === one.position} onClick={() => show(shown === one.position ? null : one.position)}>{one.type}</button>{one.dismissed_at && <> <span class="state quiet">dismissed</span></>}</td>
                {stream && <td><a href={`#/streams/${seg(one.aggregate)}/${seg(one.id)}?v=${one.version}`}>{one.aggregate}/{one.id}</a></td>}<td><Time at={one.occurred_at} /></td>
                <td class="wide"><a href={`#/graph/${one.event_id}`}>{one.causation_id || one.correlation_id ? "causes and effects" : "effects"}</a></td></tr>
            {shown === one.position && <tr class="inside"><td colSpan={6}><Whole of={one} /></td></tr>}</Fragment>)}</tbody></table></div>;
}

function Whole({ of }: { of: Event }) {
    return <div class="two"><Json of={of.payload} /><dl class="facts plain"><Fact name="Position">{num(of.position)}</Fact><Fact name="Event id"><code>{of.event_id}</code></Fact><Fact name="Schema">version {of.schema_version}</Fact>
        {of.correlation_id && <Fact name="Correlation"><a href={`#/graph?correlation=${seg(of.correlation_id)}`}>{of.correlation_id}</a></Fact>}{of.causation_id && <Fact name="Caused by"><code>{of.causation_id}</code></Fact>}<Fact name="Graph"><a href={`#/graph/${of.event_id}`}>causes and effects</a></Fact></dl></div>;
}

export function StreamPage({ aggregate, id, given }: { aggregate: string; id: string; given: URLSearchParams }) {
    const path = `/v1/streams/${seg(aggregate)}/${seg(id)}`;
    const at = Number(given.get("v")) || 0;
    const [from, setFrom] = useState<number | null>(null);
    const head = useLoad<{ version: number; snapshot: { version: number; schema_version: number; created_at: string; rebuild_requested: boolean; state: unknown } | null }>(path, (signal) => api(path, { signal, exact: true }), 5000);
    const version = head.data?.version ?? 0;
    // The newest page, or the one around the version that was asked for.
    const first = from ?? (at ? Math.max(1, at - 10) : Math.max(1, version - PAGE + 1));
    const key = version ? `${path}/events${query({ from_version: first, limit: PAGE, dismissed: "included" })}` : null;
    const page = useLoad<{ events: Event[] }>(key, (signal) => api(key!, { signal, exact: true }), first + PAGE > version ? 5000 : 0);
    useEffect(() => setFrom(null), [path, at]);
    const events = page.data?.events ?? [];
    const asked = events.find((one) => one.version === at);
    const snapshot = head.data?.snapshot;
    return <>
        <div class="title"><h1>{aggregate}/{id}</h1>{version > 0 && <span class="faint">version {num(version)}</span>}</div>
        <Trouble error={head.error ?? page.error} />
        {version > 0 && <Panel title="Events" aside={<div class="pages" role="group" aria-label="Which rows"><button type="button" disabled={first <= 1} onClick={() => setFrom(1)}>First</button><button type="button" disabled={first <= 1} onClick={() => setFrom(Math.max(1, first - PAGE))}>Earlier</button><span>{num(first)}–{num(Math.min(version, first + PAGE - 1))} of {num(version)}</span><button type="button" disabled={first + PAGE > version} onClick={() => setFrom(first + PAGE)}>Later</button><button type="button" disabled={first + PAGE > version} onClick={() => setFrom(Math.max(1, version - PAGE + 1))}>Last</button></div>}>
            <Events key={asked?.position ?? first} all={events} open={asked?.position} /></Panel>}
        {head.data && <Panel title="Snapshot" aside={snapshot && <>of version {num(snapshot.version)}{snapshot.version < version && `, ${num(version - snapshot.version)} events ago`} · written <Ago at={snapshot.created_at} />{snapshot.rebuild_requested && <> · <span class="state warn">to be made anew</span></>}</>}>{snapshot ? <Json of={snapshot.state} /> : <Empty>There is none: the aggregate is made from its events.</Empty>}</Panel>}
    </>;
}
