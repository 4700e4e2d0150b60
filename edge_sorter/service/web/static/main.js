// Puts the page together: one connection, and the parts that show what it brings.

import { showContact, showStatus } from "./banner.js";
import { startCharts } from "./charts.js";
import { Connection } from "./connection.js";
import { DecisionList } from "./decisions.js";
import { $ } from "./dom.js";
import { startHistory } from "./history.js";
import { showAbout, showLanes, showStages } from "./lanes.js";
import { LiveView, showQuality } from "./live.js";
import { startSession } from "./session.js";
import { SetUp } from "./setup.js";
import { BeltStrip } from "./strip.js";
import { followTheme } from "./theme.js";
import { openWhy } from "./why.js";

let scene = null;
let looking = false;

const why = (card) => openWhy(card, scene);
const decisions = new DecisionList(why);
const live = new LiveView((uid) => { const card = decisions.card(uid); if (card) why(card); });
const strip = new BeltStrip();
const setUp = new SetUp();
const connection = new Connection();

connection.addEventListener("scene", ({ detail }) => {
  scene = detail;
  $("line-name").textContent = scene.title;
  $("line-name").title = scene.name;
  for (const part of [live, strip, decisions]) part.setScene(scene);
});
connection.addEventListener("status", ({ detail }) => {
  showStatus(detail);
  showQuality(detail);
  showLanes(detail, scene);
  showStages(detail);
  showAbout(detail);
});
connection.addEventListener("cards", ({ detail }) => {
  decisions.add(detail);
  strip.addCards(detail);
  live.flash();
});
connection.addEventListener("frame", ({ detail }) => {
  strip.setFrame(detail);
  setUp.setFrame(detail);
  live.setFrame(detail);
});
connection.addEventListener("contact", ({ detail }) => showContact(detail));

for (const tab of document.querySelectorAll("[data-tab]")) tab.addEventListener("click", () => show(tab.dataset.tab));

function show(name) {
  for (const tab of document.querySelectorAll("[data-tab]")) tab.setAttribute("aria-selected", String(tab.dataset.tab === name));
  for (const view of document.querySelectorAll("[data-view]")) view.hidden = view.dataset.view !== name;
  history.replaceState(null, "", name === "line" ? location.pathname : `#${name}`);
  document.dispatchEvent(new CustomEvent("tab", { detail: name }));
}

followTheme($("theme"));
startHistory(() => scene, why);
startSession((rights) => {
  if (rights.look && !looking) {
    looking = true;
    connection.start();
    startCharts();
  }
  document.dispatchEvent(new CustomEvent("rights", { detail: rights }));
});
if (location.hash.length > 1) show(location.hash.slice(1));
