import { type ComponentChildren, createContext } from "preact";
import { useContext, useEffect, useRef, useState } from "preact/hooks";
import { api, Problem } from "./api";
import { Chart } from "./chart";
import { Ago, Empty, Fact, Loaded, num, Panel, rate, span, Spark, State, Trouble, useLoad, usePage, Words } from "./parts";

export type Standing = { name: string; mode: string; state: string; reason: string | null; position: number | null; behind: number; lag_seconds: number | null; rate: number | null; retries: number; dead_letters: number };
export type Overview = {
    version: string; ready: boolean; reasons: string[]; looked_at: string | null; head: number; outbox: number; outbox_oldest_seconds: number | null; dead_letters: number;
    hosts: { name: string; version: string; started_at: string; silent_seconds: number }[] | null;
    rates: { appends: number; events: number; deliveries: number } | null; projections: Standing[];
};
export type History = { at: string[]; appends: number[]; events: number[]; deliveries: number[]; outbox: number[]; lag_seconds: number[]; dead_letters: number[]; behind: Record<string, number[]> };
type Finding = { check: string; severity: "problem" | "warning" | "note"; place: string; what: string; advice: string };
type Examination = { healthy: boolean; looked_at: string; findings: Finding[] };

/** The projection that a text speaks of. */
function about(text: string, names: string[]): string | undefined {
    const words = new Set(text.split(/[^a-z0-9_]+/));
    return names.find((name) => words.has(name));
}

function Wrong({ overview, doctor }: { overview: Overview; doctor: Loaded<Examination> }) {
    const names = overview.projections.map((one) => one.name);
    const findings = doctor.data?.findings ?? [];
    const [notes, showNotes] = useState(false);
    const urgent = findings.filter((one) => one.severity !== "note");
    const rest = findings.filter((one) => one.severity === "note");
    // What the doctor has a cure for is not said twice.
    const bare = overview.reasons.filter((reason) => {
        const name = about(reason, names);
        return !name || !urgent.some((finding) => about(finding.place, names) === name);
    });
    const paused = overview.projections.filter((one) => one.state === "paused");
    const item = (key: string, tone: string, word: string, place: string, what: string, advice?: string) => {
        const name = about(place, names) ?? about(what, names);
        return <li key={key} class={tone}><State of={word} /><div><p><b>{name ? <a href={`#/projections/${name}`}>{place}</a> : place}</b>: <Words of={what} /></p>
            {advice && <p class="cure"><span>What to do</span> <Words of={advice} /></p>}
            {place === "dead letters" || what.includes("given up") || what.includes("dead letter") ? <p><a href={`#/letters${name ? `?projection=${name}` : ""}`}>See the dead letters</a></p> : null}</div></li>;
    };
    const fine = !bare.length && !urgent.length && overview.ready;
    return <Panel id="wrong" title={fine ? "Everything moves" : "What is wrong"} aside={doctor.data && <span>examined <Ago at={doctor.data.looked_at} /></span>}>
        {fine && <p class="fine"><span class="state good">good</span> {doctor.data ? "The doctor has found nothing to do." : "Nothing stands still."}{paused.length > 0 && <> {num(paused.length)} paused on purpose: {paused.map((one) => <a key={one.name} href={`#/projections/${one.name}`}>{one.name} </a>)}</>}</p>}
        <ul class="findings">
            {bare.map((reason) => item(reason, "bad", "problem", about(reason, names) ?? "this host", reason))}
            {urgent.map((one) => item(one.check + one.place + one.what, one.severity === "problem" ? "bad" : "warn", one.severity, one.place, one.what, one.advice))}
            {notes && rest.map((one) => item(one.check + one.place + one.what, "quiet", "note", one.place, one.what, one.advice))}
        </ul>
        <Trouble error={doctor.error} />
        {rest.length > 0 && <button type="button" class="link" aria-expanded={notes} onClick={() => showNotes(!notes)}>{notes ? "Hide" : "Show"} {rest.length === 1 ? "1 note" : `${rest.length} notes`} (nothing is wrong, it could be better)</button>}
    </Panel>;
}

const rank = (one: Standing) => one.state === "failed" ? 0 : one.dead_letters > 0 || one.retries > 0 ? 1 : one.behind > 0 ? 2 : one.state === "paused" ? 3 : 4;

/** Projections, the unhealthy ones first. */
export function Projections({ all, history }: { all: Standing[]; history?: History }) {
    const [filter, setFilter] = useState("");
    const found = all.filter((one) => one.name.includes(filter) || one.state === filter || one.mode === filter)
        .sort((a, b) => rank(a) - rank(b) || b.behind - a.behind || (a.name < b.name ? -1 : 1));
    const { rows, controls } = usePage(found, 50);
    return <Panel title={<>Projections <small>{num(all.length)}</small></>} aside={all.length > 8 && <input type="search" data-search aria-label="Filter projections by name, mode or state" placeholder="name, mode or state" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />}>
        {all.length === 0 ? <Empty>No plugin is deployed. <a href="#/plugins">Drop one here</a>, or: <code>eventfabric plugin deploy FILE.wasm</code></Empty> :
            <div class="scroll"><table><thead><tr><th>Projection</th><th>State</th><th class="wide">Mode</th><th class="n">Behind</th><th class="n">Lag</th><th class="n wide">A second</th><th class="n">Dead</th><th class="n wide">Retries</th><th class="wide">Behind, last hour</th></tr></thead>
                <tbody>{rows.map((one) => <tr key={one.name}><td><a href={`#/projections/${one.name}`}>{one.name}</a></td>
                    <td><State of={one.state} title={one.reason ?? undefined} /></td><td class="wide nw">{one.mode}</td>
                    <td class={`n ${one.behind ? "warnish" : ""}`}>{num(one.behind)}</td><td class="n">{one.behind ? span(one.lag_seconds) : "–"}</td><td class="n wide">{one.mode === "inline" ? "–" : rate(one.rate)}</td>
                    <td class="n">{one.dead_letters ? <a class="badish" href={`#/letters?projection=${one.name}`}>{num(one.dead_letters)}</a> : 0}</td><td class="n wide">{num(one.retries)}</td>
                    <td class="wide"><Spark values={history?.behind[one.name] ?? []} label={`events ${one.name} was behind`} /></td></tr>)}</tbody></table></div>}
        {controls}
    </Panel>;
}

const Shared = createContext<Loaded<Overview>>({ loading: true, reload: () => {} });
/** Asked once for the whole page. */
export const useOverview = () => useContext(Shared);
export function WithOverview({ children }: { children: ComponentChildren }) {
    const overview = useLoad<Overview>("overview", (signal) => api("/v1/overview", { signal }), 3000);
    return <Shared.Provider value={overview}>{children}</Shared.Provider>;
}

export function OverviewPage() {
    const overview = useOverview();
    const history = useLoad<History>("history", (signal) => api("/v1/overview/history", { signal }), 10000);
    const doctor = useLoad<Examination>("doctor", (signal) => api("/v1/doctor", { signal }), 15000);
    // Once something stops, or goes on, what the doctor said before is no longer so.
    const standing = overview.data && [overview.data.ready, ...overview.data.projections.filter((one) => one.state !== "running").map((one) => `${one.name} ${one.state}`)].join();
    const stood = useRef(standing);
    useEffect(() => { if (stood.current !== undefined && standing !== stood.current) doctor.reload(); stood.current = standing; }, [standing]);
    if (!overview.data) return <><Trouble error={overview.error} />{overview.error instanceof Problem && overview.error.status === 403 && <p>What concerns all tenants needs a token with the scope <code>admin</code> that is for all of them. <a href="#/streams">Streams</a> need <code>read</code> alone.</p>}{overview.loading && <Empty>Looking…</Empty>}</>;
    const { data } = overview;
    const lines = history.data;
    const at = lines?.at.map((text) => +new Date(text) / 1000) ?? [];
    const lag = Math.max(0, ...data.projections.filter((one) => one.behind > 0 && one.state !== "paused").map((one) => one.lag_seconds ?? 0));
    return <>
        <Wrong overview={data} doctor={doctor} />
        <dl class="facts">
            <Fact name="Appends a second">{rate(data.rates?.appends)}</Fact>
            <Fact name="Events a second">{rate(data.rates?.events)}</Fact>
            <Fact name="Deliveries a second">{rate(data.rates?.deliveries)}</Fact>
            <Fact name="Longest lag" tone={lag > 30 ? "warn" : ""}>{span(lag)}</Fact>
            <Fact name="Outbox">{num(data.outbox)}{data.outbox > 0 && <small> oldest {span(data.outbox_oldest_seconds)}</small>}</Fact>
            <Fact name="Dead letters" tone={data.dead_letters ? "bad" : ""}><a href="#/letters">{num(data.dead_letters)}</a></Fact>
            <Fact name="Log ends at">{num(data.head)}</Fact>
            <Fact name="Hosts" tone={data.hosts ? "" : "bad"}>{data.hosts ? num(data.hosts.length) : "unknown"}</Fact>
        </dl>
        {lines && at.length > 1 ? <div class="charts">
            <Chart title="A second" at={at} show={rate} series={[{ label: "appends", values: lines.appends, tone: 1 }, { label: "events", values: lines.events, tone: 2 }, { label: "deliveries", values: lines.deliveries, tone: 3 }]} />
            <Chart title="Outbox" at={at} show={num} series={[{ label: "rows", values: lines.outbox, tone: 1 }, { label: "dead letters", values: lines.dead_letters, tone: 3 }]} />
            <Chart title="Oldest in the outbox" at={at} show={span} series={[{ label: "age", values: lines.lag_seconds, tone: 2 }]} />
        </div> : <Empty>The charts begin with the second look of this host, some seconds after it was started.</Empty>}
        <Projections all={data.projections} history={lines} />
        <Panel title="Hosts">{data.hosts ? <div class="scroll"><table><thead><tr><th>Host</th><th>Version</th><th>Runs since</th><th class="n">Last heard of</th></tr></thead>
            <tbody>{data.hosts.map((host) => <tr key={host.name}><td>{host.name}</td><td>{host.version}</td><td><Ago at={host.started_at} /></td>
                <td class="n">{host.silent_seconds > 2 ? <span class="badish">{span(host.silent_seconds)} ago: it may be gone</span> : "now"}</td></tr>)}</tbody></table></div>
            : <p class="trouble">The database does not answer, so it is not known which hosts run.</p>}</Panel>
        <p class="foot">Looked at {data.looked_at ? <Ago at={data.looked_at} /> : "not yet"} · this host is EventFabric {data.version} · <a href="/docs/">its HTTP API</a></p>
    </>;
}
