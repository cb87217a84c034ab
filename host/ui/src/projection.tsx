import { useState } from "preact/hooks";
import { api, query, seg, session } from "./api";
import { Chart } from "./chart";
import { CostsPanel } from "./costs";
import { History, Projections, useOverview } from "./overview";
import { Ago, clock, confirm, Empty, Fact, num, Panel, rate, short, span, State, Time, Trouble, useLoad } from "./parts";
import { Logs } from "./plugins";

type Projection = {
    name: string; mode: string; version: string; state: string; last_error: string | null; paused: { at: string; by: string | null; reason: string | null } | null;
    position: number | null; log_end: number; behind: number; lag_seconds: number; shards: number; owners: string[]; retries: number; dead_letters: number;
    rebuild: { running: boolean; version: string; starts_after: number; position: number; target: number; shards: number; events: number; started_at: string; last_error: string | null } | null;
};
type Version = { version: string; state: string; deployed_at: string };

export function ProjectionsPage() {
    const overview = useOverview();
    const history = useLoad<History>("history", (signal) => api("/v1/overview/history", { signal }), 10000);
    return <><Trouble error={overview.error} />{overview.data && <Projections all={overview.data.projections} history={history.data} />}</>;
}

const BY = () => ({ name: "by", label: "Who you are", value: session.by, hint: "others see it" });
const by = (values: Record<string, string>) => { session.by = values.by; return values.by || undefined; };

export function rollBack(name: string, version: Version | undefined, all: Version[], done: () => void) {
    const others = all.filter((one) => one.state !== "active" && one.state !== "failing");
    confirm({
        title: `Roll ${name} back`, verb: "Roll back", danger: true, done,
        text: <>The version becomes active again for all hosts. It is tried on the last events first; where it does not do, nothing changes.</>,
        fields: [...(version ? [] : [{ name: "version", label: "To which version", kind: "choice" as const, choices: [["", "the one before"] as [string, string], ...others.map((one) => [one.version, `${short(one.version)}, of ${clock(one.deployed_at)}`] as [string, string])] }]),
            { name: "rebuild", label: "Make its tables anew from the log", kind: "check", hint: "where the tables it had are not kept, and its migrations are fewer" }, BY()],
        act: async (values) => {
            await api(`/v1/plugins/${seg(name)}/rollback`, { body: { version: version?.version || values.version || undefined, by: by(values), rebuild: values.rebuild === "true" } });
            return values.rebuild === "true" ? `${name}: its tables are being made` : `${name} was rolled back`;
        },
    });
}

export function ProjectionPage({ name }: { name: string }) {
    const path = `/v1/projections/${seg(name)}`;
    const one = useLoad<Projection>(name, (signal) => api(path, { signal }), 2000);
    const history = useLoad<History>(`history ${name}`, (signal) => api(`/v1/overview/history${query({ projection: name })}`, { signal }), 5000);
    const versions = useLoad<{ versions: Version[] }>(`versions ${name}`, (signal) => api(`/v1/plugins/${seg(name)}/versions`, { signal }), 15000);
    const [before, setBefore] = useState<{ at: number; events: number; rate: number }>();
    if (!one.data) return <><Trouble error={one.error} />{one.loading && <Empty>Looking…</Empty>}</>;
    const { data } = one;
    const done = () => { one.reload(); versions.reload(); };
    const rebuilding = data.rebuild?.running ?? false;
    if (data.rebuild && rebuilding && before?.events !== data.rebuild.events) {
        const now = Date.now() / 1000;
        setBefore({ at: now, events: data.rebuild.events, rate: before ? Math.max(0, (data.rebuild.events - before.events) / (now - before.at)) : 0 });
    }
    const pause = () => confirm({
        title: `Pause ${name}`, verb: "Pause", text: "No host runs it until it is resumed. Events wait for it, and nothing is lost.", done,
        fields: [BY(), { name: "reason", label: "Why" }],
        act: async (values) => { await api(`${path}/pause`, { body: { by: by(values), reason: values.reason || undefined } }); return `${name} is paused`; },
    });
    const resume = () => confirm({
        title: `Resume ${name}`, verb: "Resume", text: data.state === "failed" ? "The hosts try again at the event that stopped it." : "The hosts run it again, from where it was.", done,
        act: async () => { await api(`${path}/resume`, { method: "POST" }); return `${name} runs again`; },
    });
    const rebuild = () => confirm({
        title: `Rebuild ${name}`, verb: "Rebuild", done,
        text: "This host fills new tables from the log, while the old ones are served, and puts them into their place at the end.",
        fields: [{ name: "from", label: "Begin with", value: "beginning", hint: "beginning, a position, or a time (RFC 3339)" }, { name: "shards", label: "Parts", kind: "number", hint: "as many as the host has cores, where it is not said" }, { name: "keep_old", label: `Keep the old tables as ${name}__old`, kind: "check" }],
        act: async (values) => {
            await api(`${path}/rebuild`, { body: { from: values.from || undefined, shards: values.shards ? Number(values.shards) : undefined, keep_old: values.keep_old === "true" } });
            return `${name}: the rebuild has begun`;
        },
    });
    const reset = () => confirm({
        title: `Reset ${name}`, verb: "Reset", danger: true, done,
        text: <>It goes on from another place, for all tenants{data.state === "running" ? "" : <>, <b>once it is resumed</b></>}. Events that it handles again change its rows again, unless its tables are emptied; while it catches up, readers see rows that are not complete. A <b>rebuild</b> has neither drawback.</>,
        fields: [{ name: "to", label: "Go on with", value: "beginning", required: true, hint: "beginning, now, a position, or a time (RFC 3339)" }, { name: "truncate", label: "Empty its tables", kind: "check" }],
        act: async (values) => { await api(`${path}/reset`, { body: { to: values.to, truncate: values.truncate === "true" } }); return `${name} goes on with: ${values.to}${data.state === "running" ? "" : ", once it is resumed"}`; },
    });
    const at = history.data?.at.map((text) => +new Date(text) / 1000) ?? [];
    const behind = history.data?.behind[name] ?? [];
    return <>
        <div class="title"><h1>{name}</h1><State of={data.state} />{rebuilding && <State of="rebuilding" />}
            <div class="actions">
                {data.state === "running" ? <button type="button" onClick={pause} disabled={data.mode === "inline"} title={data.mode === "inline" ? "an inline one runs in every append" : undefined}>Pause</button> : <button type="button" class="main" onClick={resume}>Resume</button>}
                <button type="button" onClick={rebuild} disabled={rebuilding}>Rebuild</button>
                <button type="button" onClick={reset} disabled={data.mode !== "catch-up"} title={data.mode !== "catch-up" ? "only catch-up projections have a place in the log" : undefined}>Reset</button>
                <button type="button" onClick={() => rollBack(name, undefined, versions.data?.versions ?? [], done)}>Roll back</button>
                <a class="button" href={`#/models/${seg(name)}`}>Its tables</a>
            </div></div>
        {data.last_error && <p class="trouble" role={data.state === "failed" ? "alert" : undefined}><b>{data.state === "failed" ? "Stopped by an error." : "The last error."}</b> {data.last_error}</p>}
        {data.state === "failed" && <p class="cure"><span>What to do</span> Deploy a version that handles the event, or roll back; or mend what it met, and resume.</p>}
        {data.paused && <p class="notice">Paused since <Time at={data.paused.at} />{data.paused.by && <> by {data.paused.by}</>}{data.paused.reason && <>: {data.paused.reason}</>}</p>}
        {data.rebuild && <Rebuild of={data.rebuild} rate={before?.rate} />}
        <dl class="facts">
            <Fact name="Mode">{data.mode}</Fact>
            <Fact name="Version"><a href={`#/plugins/${seg(name)}`}><code>{short(data.version)}</code></a></Fact>
            {data.position !== null && <Fact name="Position">{num(data.position)}<small> of {num(data.log_end)}</small></Fact>}
            <Fact name="Behind" tone={data.behind ? "warn" : ""}>{num(data.behind)}<small> {data.behind ? span(data.lag_seconds) : "up to date"}</small></Fact>
            <Fact name="Rate">{data.mode === "inline" ? "with each append" : <>{rate(history.data?.deliveries.at(-1))}<small> a second</small></>}</Fact>
            {data.mode === "catch-up" && <Fact name="Shards">{data.shards}</Fact>}
            {data.mode === "catch-up" && <Fact name="Run by">{data.owners.length ? data.owners.join(", ") : "nobody now"}</Fact>}
            <Fact name="Retries">{num(data.retries)}</Fact>
            <Fact name="Dead letters" tone={data.dead_letters ? "bad" : ""}><a href={`#/letters?projection=${seg(name)}`}>{num(data.dead_letters)}</a></Fact>
        </dl>
        {at.length > 1 && data.mode !== "inline" && <div class="charts">
            <Chart title="Behind" at={at} show={num} series={[{ label: "events", values: behind, tone: 1 }]} />
            <Chart title="Lag" at={at} show={span} series={[{ label: "age of the first", values: history.data!.lag_seconds, tone: 2 }]} />
            <Chart title="Handled a second" at={at} show={rate} series={[{ label: data.mode === "async" ? "rows" : "positions", values: history.data!.deliveries, tone: 3 }]} />
        </div>}
        <CostsPanel name={name} />
        <Logs name={name} />
    </>;
}

function Rebuild({ of, rate: eventsASecond }: { of: NonNullable<Projection["rebuild"]>; rate?: number }) {
    const all = Math.max(1, of.target - of.starts_after);
    const part = Math.min(1, Math.max(0, (of.position - of.starts_after) / all));
    const words = `${num(of.position)} of ${num(of.target)}`;
    return <Panel title="Rebuild" aside={<>{of.running ? "running" : "interrupted: rebuild again, and it goes on"} · began <Ago at={of.started_at} /></>}>
        <progress value={part} max={1} aria-label={`Rebuild: ${words}`} /> <p>{Math.floor(part * 100)} % · {words} · {num(of.events)} events handed to <code>{short(of.version)}</code> in {of.shards} {of.shards === 1 ? "part" : "parts"}{eventsASecond ? ` · ${rate(eventsASecond)} a second` : ""}</p>
        {of.last_error && <p class="trouble"><b>It ended the last time:</b> {of.last_error}</p>}</Panel>;
}
