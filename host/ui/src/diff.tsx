// What two versions of a plugin make of the same events.
import { useState } from "preact/hooks";
import { api, seg } from "./api";
import { num, short, Trouble } from "./parts";

type OnlyIn = { old: string[]; new: string[] };
type Diff = { old: string; new: string; description: { what: string; old: string; new: string }[]; imports: OnlyIn; migrations: OnlyIn; statements: OnlyIn; events: number; tables: { table: string; only_in_old: string[]; only_in_new: string[] }[] };

function Part({ title, old, new: now }: OnlyIn & { title: string }) {
    if (old.length === 0 && now.length === 0) return null;
    return <><h3>{title}</h3><div class="diff">{old.map((one, at) => <pre class="old" key={`-${at}`}>- {one}</pre>)}{now.map((one, at) => <pre class="new" key={`+${at}`}>+ {one}</pre>)}</div></>;
}

/** A button that has both versions handle the last events, and what came of it. */
export function Compare({ name, old, version }: { name: string; old: string; version: string }) {
    const [diff, set] = useState<Diff>();
    const [error, setError] = useState<Error>();
    const [busy, setBusy] = useState(false);
    const compare = async () => {
        setBusy(true);
        setError(undefined);
        try { set(await api<Diff>(`/v1/plugins/${seg(name)}/diff`, { body: { old, new: version } })); } catch (error) { setError(error as Error); }
        setBusy(false);
    };
    if (!diff) return <><button type="button" onClick={compare} disabled={busy} title={`Has ${short(old)} and ${short(version)} handle the last events, in tables that go again`}>{busy ? "Comparing…" : "Compare rows"}</button><Trouble error={error} /></>;
    return <details open><summary>Rows after {num(diff.events)} events, beside <code>{short(diff.old)}</code></summary>
        {diff.description.map((one) => <Part key={one.what} title={one.what} old={[one.old]} new={[one.new]} />)}
        <Part title="Imports" {...diff.imports} /><Part title="Migrations" {...diff.migrations} /><Part title="Statements" {...diff.statements} />
        {diff.tables.map((one) => <Part key={one.table} title={`Rows of ${one.table}, the first few`} old={one.only_in_old} new={one.only_in_new} />)}
        {diff.tables.length === 0 && <p>{diff.events === 0 ? "There were no events to compare them on." : "Both make the same rows."}</p>}</details>;
}
