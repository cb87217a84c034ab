// What a projection costs: all together, and an event of each type.
import { api, seg } from "./api";
import { Ago, bytes, Empty, Fact, micros, num, Panel, Trouble, useLoad, usePage } from "./parts";

type Cost = { events: number; calls: number; failed_calls: number; wasm_us: number; sql_us: number; statements: number; rows_read: number; rows_written: number; bytes: number };
type TypeCost = { event_type: string; events: number; exact: boolean; wasm_us: number; wasm_margin_us: number; sql_us: number; sql_margin_us: number; statements: number; rows_read: number; rows_written: number; bytes: number };
type Costs = { hosts: number; noted_at: string | null; total: Cost; types: TypeCost[] };

const few = (value: number) => value >= 100 ? num(Math.round(value)) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const share = (part: number, of: number) => of > 0 ? (part / of) * 100 : 0;

/** How much of all time a type took: in the plugin, and in SQL. */
function Bar({ of, all }: { of: TypeCost; all: number }) {
    const wasm = share(of.wasm_us * of.events, all);
    const sql = share(of.sql_us * of.events, all);
    return <svg class="share" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label={`${Math.round(wasm + sql)} % of the time: ${Math.round(wasm)} % in wasm, ${Math.round(sql)} % in SQL`}>
        <rect class="line1" width={wasm} height="10" /><rect class="line2" x={wasm} width={sql} height="10" /></svg>;
}

export function CostsPanel({ name }: { name: string }) {
    const { data, error } = useLoad<Costs>(`costs ${name}`, (signal) => api(`/v1/projections/${seg(name)}/costs`, { signal }), 5000);
    const { rows, controls } = usePage(data?.types ?? [], 16);
    if (!data) return <Trouble error={error} />;
    const { total, types } = data;
    const each = (value: number) => total.events ? value / total.events : 0;
    const spent = types.reduce((sum, one) => sum + (one.wasm_us + one.sql_us) * one.events, 0);
    const guessed = types.some((one) => !one.exact);
    const time = (us: number, margin: number, exact: boolean) => exact ? micros(us) : <>{micros(us)} <span class="faint wide">± {micros(margin)}</span></>;
    return <Panel title="What it costs" id="costs" aside={data.noted_at && <>{num(data.hosts)} {data.hosts === 1 ? "host" : "hosts"} · <Ago at={data.noted_at} /></>}>
        {total.calls === 0 ? <Empty>No running host has handled events by this version, or told of it yet: they do so every ten seconds.</Empty> : <>
            <dl class="facts inner">
                <Fact name="An event, in wasm">{micros(each(total.wasm_us))}</Fact><Fact name="An event, in SQL">{micros(each(total.sql_us))}</Fact>
                <Fact name="Events">{num(total.events)}<small> in {num(total.calls)} {total.calls === 1 ? "call" : "calls"}</small></Fact>
                {total.failed_calls > 0 && <Fact name="Failed calls" tone="warn">{num(total.failed_calls)}</Fact>}
                <Fact name="Statements">{num(total.statements)}</Fact><Fact name="Rows">{num(total.rows_written)}<small> written, {num(total.rows_read)} read</small></Fact><Fact name="Data">{bytes(total.bytes)}</Fact>
            </dl>
            {types.length > 0 && <div class="scroll"><table aria-label="What an event of each type costs"><thead><tr><th>Type</th><th class="n">Events</th><th class="wide"><span class="key line1">wasm</span> <span class="key line2">SQL</span></th><th class="n">In wasm</th><th class="n">In SQL</th><th class="n wide">Statements</th><th class="n wide">Rows read</th><th class="n wide">Written</th><th class="n wide">Data</th></tr></thead>
                <tbody>{rows.map((one) => <tr key={one.event_type}><td>{one.event_type}</td><td class="n">{num(one.events)}</td><td class="wide"><Bar of={one} all={spent} /></td>
                    <td class="n">{time(one.wasm_us, one.wasm_margin_us, one.exact)}</td><td class="n">{time(one.sql_us, one.sql_margin_us, one.exact)}</td>
                    <td class="n wide">{few(one.statements)}</td><td class="n wide">{few(one.rows_read)}</td><td class="n wide">{few(one.rows_written)}</td><td class="n wide">{bytes(Math.round(one.bytes))}</td></tr>)}</tbody></table></div>}
            {controls}
            {guessed && <p class="faint">Batches hold several types, so what one event of a type costs is an estimate; it lies within its margin (±) 19 times out of 20.</p>}
        </>}</Panel>;
}
