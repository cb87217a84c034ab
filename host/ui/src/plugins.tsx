import { useEffect, useRef, useState } from "preact/hooks";
import { api, follow, parse, query, seg, session } from "./api";
import { Compare } from "./diff";
import { rollBack } from "./projection";
import { Ago, bytes, Clamp, confirm, Empty, Fact, num, Panel, say, short, span, Sql, State, Time, Trouble, useLoad, usePage } from "./parts";

type Plugin = { name: string; mode: string; version: string; activated_at: string; loaded: boolean; description: string | null; event_types: string[] | null };
type Details = Plugin & {
    imports: string[]; migrations: string[]; topics: string | null; grants: { grant: string; granted_at: string; granted_by: string | null }[];
    limits: { setting: string; value: string }[]; statements: { text: string; reads: string[]; writes: string[]; grants: string[] }[];
    tables: { name: string; is_view: boolean; about_rows: number | null; bytes: number; columns: string[] }[];
};
type Version = { version: string; state: string; bytes: number; migrations: number; imports: string[]; deployed_at: string; deployed_by: string | null; source: string | null; error: string | null };
type Measured = { handled: number; refused: number; errors: number; limits: number; compared: number; statements: number; p50_ms: number; p99_ms: number };
type Deployment = {
    id: number; version: string; action: string; activated: boolean; replaced: string | null; tried: number; rebuilt: boolean; error: string | null; log_position: number; at: string; by: string | null; source: string | null;
    trial: { events: number; tried: number; new: Measured | null; active: Measured | null } | null;
};
type Deployed = { plugin: string; version: string; before: string | null; unchanged: boolean; at: number | null; tried: number; took_ms: number };

/** Takes a component that is dropped, or chosen, and deploys it once it was asked for. */
function Upload({ done }: { done: () => void }) {
    const [over, setOver] = useState(false);
    const take = (file: File | undefined | null) => {
        if (!file) return;
        if (!file.name.endsWith(".wasm")) return say(`${file.name} is no component: its name does not end in .wasm`, true);
        confirm({
            title: `Deploy ${file.name}`, verb: "Deploy", done,
            text: <>{bytes(file.size)}. It is checked, tried on the last events beside the version that is active, and becomes the active one for all hosts; where it does not do, nothing changes.</>,
            fields: [{ name: "by", label: "Who you are", value: session.by, hint: "others see it" }, { name: "canary", label: "Try it on so many of the last events", kind: "number", hint: "the host's number where nothing is said" },
                { name: "rebuild", label: "With tables of its own, made from the log while the active version goes on", kind: "check" }],
            act: async (values) => {
                session.by = values.by;
                const answer = await api<Deployed>(`/v1/plugins${query({ by: values.by, canary: values.canary, rebuild: values.rebuild || undefined })}`, { bytes: file });
                if (values.rebuild) return `${file.name}: its tables are being filled; its projection has the progress`;
                return answer.unchanged ? `${answer.plugin} ${short(answer.version)} was the active version already` : `${answer.plugin} ${short(answer.version)} is active: ${num(answer.tried)} events went well on trial, ${span(answer.took_ms / 1000)}`;
            },
        });
    };
    return <label class={`drop ${over ? "over" : ""}`} onDragOver={(event) => { event.preventDefault(); setOver(true); }} onDragLeave={() => setOver(false)}
        onDrop={(event) => { event.preventDefault(); setOver(false); take(event.dataTransfer?.files[0]); }}>
        <span><b>Deploy a plugin</b>: drop a component (.wasm) here, or choose one</span>
        <input type="file" accept=".wasm" aria-label="A component to deploy" onChange={(event) => { take(event.currentTarget.files?.[0]); event.currentTarget.value = ""; }} /></label>;
}

export function PluginsPage() {
    const list = useLoad<{ plugins: Plugin[] }>("plugins", (signal) => api("/v1/plugins", { signal }), 5000);
    const { rows, controls } = usePage(list.data?.plugins ?? [], 50);
    return <><Upload done={list.reload} /><Trouble error={list.error} />
        <Panel title={<>Plugins <small>{num(list.data?.plugins.length)}</small></>}>
            {list.data && list.data.plugins.length === 0 ? <Empty>None is deployed.</Empty> : <div class="scroll"><table><thead><tr><th>Plugin</th><th>Version</th><th class="wide">Mode</th><th>Active since</th><th class="wide">Takes</th><th class="wide">What it says of itself</th></tr></thead>
                <tbody>{rows.map((one) => <tr key={one.name}><td><a href={`#/plugins/${one.name}`}>{one.name}</a>{!one.loaded && <> <State of="not loaded" /></>}</td><td><code>{short(one.version)}</code></td><td class="wide nw">{one.mode}</td><td><Ago at={one.activated_at} /></td>
                    <td class="wide">{one.event_types === null ? "–" : one.event_types.length === 0 ? "all events" : one.event_types.join(", ")}</td><td class="wide"><Clamp>{one.description ?? "–"}</Clamp></td></tr>)}</tbody></table></div>}
            {controls}</Panel></>;
}

function Trial({ of }: { of: NonNullable<Deployment["trial"]> }) {
    const line = (name: string, show: (one: Measured) => string, worse?: (now: Measured, was: Measured) => boolean) => <tr><th scope="row">{name}</th>
        <td class={`n ${of.new && of.active && worse?.(of.new, of.active) ? "badish" : ""}`}>{of.new ? show(of.new) : "–"}</td><td class="n">{of.active ? show(of.active) : "–"}</td></tr>;
    return <table class="trial"><caption>Canary: {num(of.tried)} of the last {num(of.events)} events went well at once{of.new ? "; one by one:" : ""}</caption>
        {of.new && <><thead><tr><td></td><th class="n">this version</th><th class="n">the active one</th></tr></thead><tbody>
            {line("handled", (one) => num(one.handled), (now, was) => now.handled < was.handled)}{line("refused", (one) => num(one.refused), (now, was) => now.refused > was.refused)}
            {line("errors", (one) => num(one.errors), (now, was) => now.errors > was.errors)}{line("traps and limits", (one) => num(one.limits), (now, was) => now.limits > was.limits)}
            {line("statements an event", (one) => one.statements.toFixed(2), (now, was) => now.statements > was.statements * 1.5)}
            {line("half of them within", (one) => `${one.p50_ms.toFixed(2)} ms`, (now, was) => now.p50_ms > was.p50_ms * 2)}{line("99 of 100 within", (one) => `${one.p99_ms.toFixed(2)} ms`)}</tbody></>}</table>;
}

/** How a canary went, in a line. */
function went({ events, tried, new: now, active }: NonNullable<Deployment["trial"]>): string {
    const well = tried === events ? "all went well" : `${num(tried)} went well`;
    if (!now) return well;
    return `${well}, half of them within ${now.p50_ms.toFixed(2)} ms${active ? `; the active one: ${active.p50_ms.toFixed(2)} ms` : ""}`;
}

const WORDS: Record<string, string> = { deploy: "Deployed", rollback: "Rolled back", fallback: "The host went back", remove: "Removed", retire: "Old tables dropped", config: "Setting changed" };

export function PluginPage({ name }: { name: string }) {
    const details = useLoad<Details>(name, (signal) => api(`/v1/plugins/${seg(name)}`, { signal }), 10000);
    const versions = useLoad<{ versions: Version[] }>(`v ${name}`, (signal) => api(`/v1/plugins/${seg(name)}/versions`, { signal }), 10000);
    const past = useLoad<{ deployments: Deployment[] }>(`d ${name}`, (signal) => api(`/v1/plugins/${seg(name)}/deployments`, { signal }), 10000);
    const config = useLoad<{ settings: Record<string, { value: string; set_at: string; set_by: string | null }> }>(`c ${name}`, (signal) => api(`/v1/plugins/${seg(name)}/config`, { signal }), 10000);
    const done = () => { details.reload(); versions.reload(); past.reload(); };
    const line = usePage(past.data?.deployments ?? [], 10);
    const { data } = details;
    const settings = Object.entries(config.data?.settings ?? {});
    return <>
        <div class="title"><h1>{name}</h1>{data && <span class="faint">{data.mode}</span>}<div class="actions"><a class="button" href={`#/projections/${seg(name)}`}>Its projection</a><a class="button" href={`#/models/${seg(name)}`}>Its tables</a></div></div>
        {data?.description && <p>{data.description}</p>}
        <Trouble error={details.error} />
        <Upload done={done} />
        <Panel title="Versions"><div class="scroll"><table><thead><tr><th>Version</th><th>State</th><th>First deployed</th><th class="wide">By</th><th class="n wide">Size</th><th class="n wide">Migrations</th><th><span class="unseen">Back to it</span></th></tr></thead>
            <tbody>{(versions.data?.versions ?? []).map((one) => <tr key={one.version}><td><code title={one.version}>{short(one.version)}</code></td><td><State of={one.state} />{one.error && <div class="error">{one.error}</div>}</td><td><Time at={one.deployed_at} /></td>
                <td class="wide">{one.deployed_by ?? "–"}{one.source && <span class="faint"> {one.source}</span>}</td><td class="n wide">{bytes(one.bytes)}</td><td class="n wide">{one.migrations}</td>
                <td>{one.state !== "active" && one.state !== "failing" && <button type="button" onClick={() => rollBack(name, one, [], done)}>Back to it</button>}</td></tr>)}</tbody></table></div></Panel>
        <Panel title="What became of them">{past.data && <ol class="line">{line.rows.map((one) => <li key={one.id} class={one.error ? one.action === "fallback" ? "warn" : "bad" : one.activated ? "good" : "quiet"}>
            <p><b>{one.error && one.action === "deploy" ? "Refused" : WORDS[one.action] ?? one.action}</b> <code>{short(one.version)}</code>{one.replaced && one.replaced !== one.version && <> in the place of <code>{short(one.replaced)}</code></>}{one.rebuilt && " with tables of its own"} · <Time at={one.at} />{one.by && <> · {one.by}</>}{one.source && <span class="faint"> · {one.source}</span>}<span class="faint"> · log at {num(one.log_position)}</span></p>
            {one.error && <p class="error">{one.error}</p>}{one.trial && (one.trial.events === 0 ? <p class="faint">There were no events to try it on.</p> : <details open={Boolean(one.error)}><summary>Canary on {num(one.trial.events)} events: {went(one.trial)}</summary><Trial of={one.trial} /></details>)}
            {one.activated && one.replaced && one.replaced !== one.version && <Compare name={name} old={one.replaced} version={one.version} />}</li>)}</ol>}{line.controls}</Panel>
        {data && <>
            <div class="two">
                <Panel title="What it is"><dl class="facts plain"><Fact name="Takes">{data.event_types === null ? "not loaded in this host" : data.event_types.length ? data.event_types.join(", ") : "all events"}</Fact>{data.mode === "async" && <Fact name="Topics">{data.topics ?? "–"}</Fact>}
                    <Fact name="Imports">{data.imports.map((one) => <div key={one}><code>{one}</code></div>)}</Fact><Fact name="Migrations">{data.migrations.map((one) => <div key={one}>{one}</div>)}</Fact></dl></Panel>
                <Panel title="What it may use"><table class="small"><tbody>{data.limits.map((one) => <tr key={one.setting}><th scope="row"><code>{one.setting}</code></th><td class="n">{/^\d+$/.test(one.value) ? /(bytes|_memory)$/.test(one.setting) ? bytes(Number(one.value)) : num(Number(one.value)) : one.value}</td></tr>)}</tbody></table>
                    <h3>Grants</h3>{data.grants.length === 0 ? <Empty>None: it reads its own tables alone.</Empty> : <ul>{data.grants.map((one) => <li key={one.grant}><code>{one.grant}</code> since <Time at={one.granted_at} />{one.granted_by && ` by ${one.granted_by}`}</li>)}</ul>}
                    <h3>Settings</h3>{settings.length === 0 ? <Empty>None in the database.</Empty> : <ul>{settings.map(([key, one]) => <li key={key}><code>{key}</code> = <code>{one.value}</code>{one.set_by && <span class="faint"> by {one.set_by}</span>}</li>)}</ul>}</Panel>
            </div>
            <Panel title={<>SQL <small>{num(data.statements.length)} {data.statements.length === 1 ? "statement" : "statements"}</small></>}><div class="scroll"><table><thead><tr><th>Statement</th><th>Reads</th><th>Writes</th></tr></thead><tbody>{data.statements.slice(0, 200).map((one) => <tr key={one.text}><td><Sql of={one.text} /></td><td>{one.reads.join(", ")}{one.grants.length > 0 && <div class="faint">{one.grants.join(", ")}</div>}</td><td>{one.writes.join(", ")}</td></tr>)}</tbody></table></div></Panel>
        </>}
        <Logs name={name} />
    </>;
}

type Line = { id: number; at: string; level: string; version: string; positions: string; message: string; host: string };
const KEPT = 200;

/** What a plugin says, as it says it. */
export function Logs({ name }: { name: string }) {
    const [lines, setLines] = useState<Line[]>([]);
    const [level, setLevel] = useState("info");
    const [live, setLive] = useState(false);
    const waiting = useRef<string[]>([]);
    useEffect(() => {
        const stop = new AbortController();
        setLines([]);
        waiting.current = [];
        // A plugin may say much: the page is drawn some times a second.
        const draw = setInterval(() => {
            if (!waiting.current.length) return;
            const fresh: Line[] = waiting.current.splice(0).slice(-KEPT).map((text) => parse(text));
            setLines((old) => [...new Map([...old, ...fresh].map((one) => [one.id, one])).values()].sort((a, b) => a.id - b.id).slice(-KEPT));
        }, 300);
        void follow(`/v1/plugins/${seg(name)}/logs${query({ follow: true, level })}`, (line) => waiting.current.push(line), stop.signal, setLive);
        return () => { stop.abort(); clearInterval(draw); };
    }, [name, level]);
    return <Panel title="What it says" aside={<><span class={`state ${live ? "good" : "quiet"}`}>{live ? "live" : "not connected"}</span> <label>from <select value={level} onChange={(event) => setLevel(event.currentTarget.value)} aria-label="The least level">{["trace", "debug", "info", "warn", "error"].map((one) => <option key={one}>{one}</option>)}</select></label></>}>
        {lines.length === 0 ? <Empty>Nothing yet.</Empty> : <div class="log" tabIndex={0} role="log" aria-label={`What ${name} says`}>{lines.slice().reverse().map((one) => <p key={one.id} class={one.level}><Time at={one.at} /> <b>{one.level}</b> {one.message} <span class="faint">{one.positions && `events ${one.positions} · `}{short(one.version)} · {one.host}</span></p>)}</div>}</Panel>;
}
