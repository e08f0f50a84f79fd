// Puts the page together.
import { startAsk } from "./ask.js";
import { startBanner } from "./banner.js";
import { openKey } from "./dialogs.js";
import { byId } from "./dom.js";
import { startFact } from "./fact.js";
import { startHealth } from "./health.js";
import { startHistory } from "./history.js";
import { startNotices } from "./notices.js";
import { takeKey } from "./server.js";
import { startShortcuts } from "./shortcuts.js";
import { follow, tell } from "./state.js";
import { startTable } from "./table.js";
import { show, startTabs } from "./tabs.js";

takeKey();
startNotices(openKey);
startBanner();
startTabs();
startAsk();
const forms = { one: startFact(), table: startTable() };
startHistory();
startHealth();

const switches = [...document.querySelectorAll("input[name=many]")];
function choose(which) {
  for (const radio of switches) radio.checked = radio.value === which;
  for (const name of Object.keys(forms)) byId(name).hidden = name !== which;
}
for (const radio of switches) radio.addEventListener("change", () => choose(radio.value));
choose("one");

startShortcuts({
  edit(which) {
    show("edit");
    choose(which);
    forms[which].focus();
  },
});
byId("open-key").addEventListener("click", openKey);
window.addEventListener("hashchange", () => {
  takeKey();
  follow();
});

// a file dropped beside the table's field must not replace the page
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

tell();
follow();
