// A host with data, until it is stopped: to look around in.
import { clean, Rig, TOKEN } from "./rig.mjs";
clean();
const rig = await Rig.start();
try { await rig.fill(); } catch (error) { await rig.halt(); throw error; }
console.log(JSON.stringify({ url: rig.url, placed: rig.placed, token: TOKEN }));
process.on("SIGTERM", async () => { await rig.halt(); process.exit(0); });
process.on("SIGINT", async () => { await rig.halt(); process.exit(0); });
setInterval(() => {}, 1 << 30);
