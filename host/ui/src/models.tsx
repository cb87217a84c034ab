import { useEffect, useState } from "preact/hooks";
import { api, seg } from "./api";
import { bytes, Clamp, Empty, Kinds, num, Panel, Trouble, useLoad, usePage } from "./parts";

type Table = { name: string; is_view: boolean; about_rows: number | null; bytes: number; columns: string[] };
type Rows = { columns: string[]; rows: (string | null)[][]; more: boolean };
const PAGE = 100;
const quoted = (name: string) => /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;

export function ModelsPage({ name }: { name: string | null }) {
    const plugins = useLoad<{ plugins: { name: string }[] }>("plugins", (signal) => api("/v1/plugins", { signal }));
    const plugin = name ?? plugins.data?.plugins[0]?.name ?? null;
    return <><div class="side"><Panel title="Plugins"><Trouble error={plugins.error} /><Kinds all={(plugins.data?.plugins ?? []).map((one) => one.name)} chosen={plugin} to={(one) => `#/models/${one}`} what="plugins" /></Panel>
        <div>{plugin ? <Model key={plugin} plugin={plugin} /> : plugins.data && <Empty>No plugin is deployed, so there are no read models.</Empty>}</div></div></>;
}

function Model({ plugin }: { plugin: string }) {
    const details = useLoad<{ tables: Table[] }>(plugin, (signal) => api(`/v1/plugins/${seg(plugin)}`, { signal }));
    const [table, setTable] = useState<Table | null>(null);
    const [offset, setOffset] = useState(0);
    const [text, setText] = useState("");
    const [asked, ask] = useState<{ sql: string; limit: number; turn: number } | null>(null);
    const open = (one: Table, from: number) => {
        const first = one.columns[0]?.split(" ")[0];
        const sql = `SELECT * FROM ${quoted(one.name)}${first ? " ORDER BY 1" : ""} LIMIT ${PAGE + 1} OFFSET ${from}`;
        setTable(one); setOffset(from);
        setText(`SELECT * FROM ${quoted(one.name)} ORDER BY 1`);
        ask({ sql, limit: PAGE, turn: Date.now() });
    };
    useEffect(() => { if (details.data?.tables.length && !asked) open(details.data.tables[0], 0); }, [details.data]);
    const rows = useLoad<Rows>(asked && `${asked.turn}`, (signal) => api(`/v1/plugins/${seg(plugin)}/rows`, { body: { sql: asked!.sql, limit: asked!.limit }, signal }));
    const run = () => { setTable(null); ask({ sql: text, limit: 1000, turn: Date.now() }); };
    return <>
        <Panel title={<>Tables of {plugin}</>}><Trouble error={details.error} /><div class="scroll"><table><thead><tr><th>Table</th><th class="n">About rows</th><th class="n">Size</th><th class="wide">Columns</th></tr></thead><tbody>{(details.data?.tables ?? []).map((one) => <tr key={one.name} class={table?.name === one.name ? "open" : ""}><td><button type="button" class="link" onClick={() => open(one, 0)}>{one.name}</button>{one.is_view && <span class="faint"> view</span>}</td><td class="n">{one.about_rows === null ? "–" : num(one.about_rows)}</td><td class="n">{one.is_view ? "–" : bytes(one.bytes)}</td><td class="wide"><Clamp class="faint">{one.columns.join(", ")}</Clamp></td></tr>)}</tbody></table></div>{details.data?.tables.length === 0 && <Empty>It has no tables.</Empty>}</Panel>
        <Panel title="SQL" aside={<span class="faint">one SELECT over its tables, read-only, 1,000 rows and 8 s at most</span>}>
            <form onSubmit={(event) => { event.preventDefault(); run(); }}><textarea rows={3} spellcheck={false} aria-label={`A SELECT over the tables of ${plugin}`} value={text} onInput={(event) => setText(event.currentTarget.value)} onKeyDown={(event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); run(); } }} />
                <menu><button type="submit" class="main" disabled={!text.trim()}>Run <kbd>Ctrl Enter</kbd></button></menu></form></Panel>
        <Trouble error={rows.error} />
        {rows.loading && <Empty>Reading…</Empty>}
        {rows.data && <Answer of={rows.data} />}
        {table && rows.data && (offset > 0 || rows.data.more) && <div class="pages" role="group" aria-label="Which rows"><button type="button" disabled={offset === 0} onClick={() => open(table, Math.max(0, offset - PAGE))}>Previous</button><span>from row {num(offset + 1)}</span><button type="button" disabled={!rows.data.more} onClick={() => open(table, offset + PAGE)}>Next</button></div>}
        {!table && rows.data?.more && <p class="faint">There are more rows than are shown.</p>}
    </>;
}

function Answer({ of }: { of: Rows }) {
    const page = usePage(of.rows, PAGE);
    const numeric = of.columns.map((_one, at) => of.rows.some((row) => row[at] !== null) && of.rows.every((row) => row[at] === null || /^-?\d+(\.\d+)?$/.test(row[at]!)));
    return <Panel title={<>{num(of.rows.length)} {of.rows.length === 1 ? "row" : "rows"}{of.more && " of more"}</>}><div class="scroll" tabIndex={0} role="group" aria-label="Rows"><table class="cells"><thead><tr>{of.columns.map((one, at) => <th key={at} class={numeric[at] ? "n" : ""}>{one}</th>)}</tr></thead><tbody>{page.rows.map((row, at) => <tr key={at}>{row.map((cell, column) => <td key={column} class={numeric[column] ? "n" : ""}>{cell === null ? <span class="faint">∅</span> : cell.length > 300 ? <span title={cell.slice(0, 4000)}>{cell.slice(0, 300)}…</span> : cell}</td>)}</tr>)}</tbody></table></div>{page.controls}</Panel>;
}
